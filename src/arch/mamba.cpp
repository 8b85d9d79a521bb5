// Mamba: a state space a channel, whose step size, input and output depend on the token ("selective").
//
//   x       = embed[id]
//   for each layer:
//     u, z  = Win rms(x)                                        norm
//     u     = silu(conv(u))                                     each channel with its own last `taps` inputs
//     t, b, c = Wselect u
//     dt    = softplus(Wdt t + dt_bias)
//     for each channel, its state h (states): h = exp(dt rate) h + dt u b;  y = h . c + skip u
//     x     = x + Wout (y silu(z))
//   logits  = head rms(x)                                       norm
//
// Sources: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (arXiv:2312.00752), algorithm 2;
// transformers' modeling_mamba.py. The recurrence: `conv_silu` and `scan` in kernels.h.
#include <string.h>

#include "arch/recurrent.h"

namespace edgellm {

namespace {

constexpr i32 BLOCK = 128;  // channels that one thread takes

struct Shape {
  i32 layers, dim, inner, states, taps, rank, vocab;
  f32 norm_eps;

  i32 blocks() const { return div_up(inner, BLOCK); }
  i32 selected() const { return rank + 2 * states; }
};

struct Layer {
  const f32* norm;                   // (dim)
  Matrix in;                         // (2 * inner, dim)
  const f32 *conv, *conv_bias;       // (taps, inner), (inner) or null
  Matrix select;                     // (rank + 2 * states, inner)
  Matrix dt;                         // (inner, rank)
  const f32 *dt_bias, *rate, *skip;  // (inner), (states, inner), (inner)
  Matrix out;                        // (dim, inner)
};

struct Mamba {
  Shape shape;
  Stream stream;
  Layer* layers;

  f32* both;      // u, then z (2 * inner)
  f32* selected;  // t, b, c (rank + 2 * states)
  f32* dt;        // (inner)

  i64 both_stride() const { return align_up(2 * shape.inner, PANEL); }
  i64 selected_stride() const { return align_up(shape.selected(), PANEL); }
  i64 inner_stride() const { return align_up(shape.inner, PANEL); }

  // State of a session: for each layer and each block of channels, their last inputs (taps - 1, channels), then their states
  // (states, channels).
  i64 channel_state() const { return shape.taps - 1 + shape.states; }
  i64 state_bytes() const { return align_up<i64>(shape.layers * channel_state() * shape.inner * i64{sizeof(f32)}, 64); }
  i32 channels(i32 block) const { return min(BLOCK, shape.inner - block * BLOCK); }
  f32* past(const Stretch& stretch, i32 layer, i32 block) const {
    return reinterpret_cast<f32*>(stretch.state) + channel_state() * (i64{layer} * shape.inner + block * BLOCK);
  }
  f32* states(const Stretch& stretch, i32 layer, i32 block) const {
    return past(stretch, layer, block) + i64{shape.taps - 1} * channels(block);
  }
};

Status read_shape(const ModelFile& file, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("inner", 1, MAX_COLUMNS, &shape->inner));
  EDGELLM_TRY(file.number("states", 1, MAX_STATES, &shape->states));
  EDGELLM_TRY(file.number("taps", 1, MAX_TAPS, &shape->taps));
  EDGELLM_TRY(file.number("rank", 1, MAX_COLUMNS, &shape->rank));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  return file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps);
}

Status bind_layer(const ModelFile& file, const Shape& s, i32 index, Layer* layer) {
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  auto at = [&](const char* suffix) {
    name.clear();
    return write(name, "layers.", index, ".", suffix).text();
  };
  EDGELLM_TRY(file.vector(at("norm"), s.dim, &layer->norm));
  EDGELLM_TRY(file.matrix(at("in"), 2 * s.inner, s.dim, &layer->in));
  EDGELLM_TRY(file.vector(at("conv"), s.taps * s.inner, &layer->conv));
  EDGELLM_TRY(file.vector_or_none(at("conv_bias"), s.inner, &layer->conv_bias));
  EDGELLM_TRY(file.matrix(at("select"), s.selected(), s.inner, &layer->select));
  EDGELLM_TRY(file.matrix(at("dt"), s.inner, s.rank, &layer->dt));
  EDGELLM_TRY(file.vector(at("dt_bias"), s.inner, &layer->dt_bias));
  EDGELLM_TRY(file.vector(at("rate"), s.states * s.inner, &layer->rate));
  EDGELLM_TRY(file.vector(at("skip"), s.inner, &layer->skip));
  return file.matrix(at("out"), s.dim, s.inner, &layer->out);
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Mamba m = {};
  Shape& s = m.shape;
  EDGELLM_TRY(read_shape(file, &s));
  m.stream.dim = s.dim, m.stream.vocab = s.vocab;
  m.stream.norm_eps = s.norm_eps, m.stream.layer_norm = false;
  EDGELLM_TRY(m.stream.load(file, limits, max(s.inner, s.rank), arena, model));
  m.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, s, i, &layer));
    if (m.layers) m.layers[i] = layer;
  }
  m.both = arena.take<f32>(limits.columns * m.both_stride());
  m.selected = arena.take<f32>(limits.columns * m.selected_stride());
  m.dt = arena.take<f32>(limits.columns * m.inner_stride());
  Mamba* placed = arena.take<Mamba>(1);
  model->family = placed;
  model->layers = s.layers;
  model->state_bytes = m.state_bytes();
  if (placed) *placed = m;
  return {};
}

// Calls body(stretch, block) for every stretch and block of channels, spread over the threads.
template <class Body>
void each_block(Mamba& m, Threads& threads, const Body& body) {
  const i32 blocks = m.shape.blocks();
  threads.run(m.stream.stretch_count * blocks,
              [&](i32 chunk, i32) { body(m.stream.stretches[chunk / blocks], chunk % blocks); });
}

// u = silu(conv(u)) of one block of channels, its tokens in order.
void convolve(Mamba& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 block) {
  const i32 at = block * BLOCK;
  const Convolution conv = {.n = m.channels(block),
                            .taps = m.shape.taps,
                            .stride = m.shape.inner,
                            .weight = layer.conv + at,
                            .bias = layer.conv_bias ? layer.conv_bias + at : nullptr};
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    f32* u = m.both + c * m.both_stride() + at;
    kernels.conv_silu(conv, u, m.past(stretch, index, block), u);
  }
}

// y silu(z) of one block of channels, its tokens in order: its part of the input of `out`.
void recur(Mamba& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 block) {
  const Shape& s = m.shape;
  const i32 n = m.channels(block), at = block * BLOCK;
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    f32 *u = m.both + c * m.both_stride() + at, *dt = m.dt + c * m.inner_stride() + at;
    const f32 *z = u + s.inner, *b = m.selected + c * m.selected_stride() + s.rank;
    f32* y = m.stream.input.column(c) + at;
    kernels.softplus(dt, layer.dt_bias + at, n, dt);
    kernels.scan({.n = n,
                  .states = s.states,
                  .stride = s.inner,
                  .rate = layer.rate + at,
                  .skip = layer.skip + at,
                  .x = u,
                  .dt = dt,
                  .b = b,
                  .c = b + s.states},
                 m.states(stretch, index, block), y);
    kernels.silu_gate(z, y, n, y);
  }
}

// y = W x for vectors that lie apart.
void apply(Mamba& m, const Matrix& w, const f32* x, i64 x_stride, f32* y, i64 y_stride, const Kernels& kernels,
           Threads& threads) {
  Input& input = m.stream.input;
  input.shape_for(w);
  each_column(threads, m.stream.columns, [&](i32 c) {
    memcpy(input.column(c), x + c * x_stride, static_cast<size_t>(w.cols) * sizeof(f32));
    input.finish(kernels, c);
  });
  const Projection projection[] = {{&w, y, y_stride}};
  project(kernels, threads, input, m.stream.columns, {projection, 1});
}

void mixer(Mamba& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  x.input.shape_for(layer.in);
  each_column(threads, x.columns, [&](i32 c) {
    x.normalise(kernels, x.column(c), layer.norm, nullptr, x.input.column(c));
    x.input.finish(kernels, c);
  });
  const Projection in[] = {{&layer.in, m.both, m.both_stride()}};
  project(kernels, threads, x.input, x.columns, {in, 1});
  each_block(m, threads, [&](const Stretch& stretch, i32 block) { convolve(m, layer, index, kernels, stretch, block); });

  apply(m, layer.select, m.both, m.both_stride(), m.selected, m.selected_stride(), kernels, threads);
  apply(m, layer.dt, m.selected, m.selected_stride(), m.dt, m.inner_stride(), kernels, threads);

  x.input.shape_for(layer.out);
  each_block(m, threads, [&](const Stretch& stretch, i32 block) { recur(m, layer, index, kernels, stretch, block); });
  each_column(threads, x.columns, [&](i32 c) { x.input.finish(kernels, c); });
  const Projection out[] = {{&layer.out, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {out, 1});
  x.add_branch(kernels, threads, index);
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Mamba& m = *static_cast<Mamba*>(model.family);
  m.stream.begin(model, kernels, threads, items);
  for (i32 i = 0; i < m.shape.layers; i++)
    mixer(m, m.layers[i], i, kernels, threads);
  return m.stream.finish(model, kernels, threads);
}

}  // namespace

extern const Arch mamba_arch;
const Arch mamba_arch = {.name = "mamba", .load = load, .forward = forward};

}  // namespace edgellm
