// Mamba-2: heads of channels that share one step size and one rate, and groups of heads that share input and output weights.
//
//   x       = embed[id]
//   for each layer:
//     z, u, b, c, dt = Win rms(x)                               norm; b and c: one a group of heads
//     u, b, c = silu(conv(u, b, c))                             each channel with its own last `taps` inputs
//     dt    = clamp(softplus(dt + dt_bias), dt_min, dt_max)     one a head
//     for each head, its state S (states, head_dim): S = exp(dt rate) S + dt b u^T;  y = c^T S + skip u
//     x     = x + Wout rms(y silu(z))                           gate_norm, over each group's part
//   logits  = head rms(x)                                       norm
//
// Sources: Dao and Gu, "Transformers are SSMs" (arXiv:2405.21060), section 7; transformers' modeling_mamba2.py. The recurrence:
// `conv_silu` and `retain` in kernels.h.
#include "arch/recurrent.h"
#include "base/math.h"

namespace edgellm {

namespace {

constexpr i32 BLOCK = 128;  // channels of the convolution that one thread takes

struct Shape {
  i32 layers, dim, heads, head_dim, groups, states, taps, vocab;
  f32 norm_eps;
  f32 dt_min, dt_max;  // of the step size; 0 and infinity bound nothing

  i32 inner() const { return heads * head_dim; }
  i32 group_dim() const { return heads / groups * head_dim; }
  i32 convolved() const { return inner() + 2 * groups * states; }
  i32 projected() const { return inner() + convolved() + heads; }
  i32 blocks() const { return div_up(convolved(), BLOCK); }
};

struct Layer {
  const f32* norm;                   // (dim)
  Matrix in;                         // (projected, dim)
  const f32 *conv, *conv_bias;       // (taps, convolved), (convolved) or null
  const f32 *dt_bias, *rate, *skip;  // (heads)
  const f32* gate_norm;              // (inner)
  Matrix out;                        // (dim, inner)
};

struct Mamba2 {
  Shape shape;
  Stream stream;
  Layer* layers;

  f32* all;  // z, u, b, c, dt (projected)
  f32* y;    // (inner)

  i64 all_stride() const { return align_up(shape.projected(), PANEL); }
  i64 y_stride() const { return align_up(shape.inner(), PANEL); }

  // State of a session: for each layer, the last inputs of each block of channels (taps - 1, channels), then the heads' S.
  i64 past_values() const { return i64{shape.taps - 1} * shape.convolved(); }
  i64 layer_state() const { return past_values() + i64{shape.inner()} * shape.states; }
  i64 state_bytes() const { return align_up<i64>(shape.layers * layer_state() * i64{sizeof(f32)}, 64); }
  f32* past(const Stretch& stretch, i32 layer, i32 block) const {
    return reinterpret_cast<f32*>(stretch.state) + layer * layer_state() + i64{shape.taps - 1} * block * BLOCK;
  }
  f32* head_state(const Stretch& stretch, i32 layer, i32 head) const {
    return past(stretch, layer, 0) + past_values() + i64{head} * shape.head_dim * shape.states;
  }
};

Status read_shape(const ModelFile& file, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("heads", 1, MAX_HEADS, &shape->heads));
  EDGELLM_TRY(file.number("head_dim", 1, MAX_HEAD_DIM, &shape->head_dim));
  EDGELLM_TRY(file.number("groups", 1, MAX_HEADS, &shape->groups));
  EDGELLM_TRY(file.number("states", 1, MAX_STATES, &shape->states));
  EDGELLM_TRY(file.number("taps", 1, MAX_TAPS, &shape->taps));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  EDGELLM_TRY(file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps));
  constexpr f32 LARGEST = 0x1.fffffep127f;
  EDGELLM_TRY(file.real_or("dt_min", 0, 0, LARGEST, &shape->dt_min));
  EDGELLM_TRY(file.real_or("dt_max", __builtin_inff(), shape->dt_min, LARGEST, &shape->dt_max));
  if (shape->heads % shape->groups) {
    return bad_model("metadata: ", shape->heads, " heads are not a multiple of ", shape->groups, " groups");
  }
  if (shape->inner() > MAX_COLUMNS) {
    return bad_model("metadata: ", shape->heads, " heads of ", shape->head_dim, " are wider than ", MAX_COLUMNS);
  }
  return {};
}

Status bind_layer(const ModelFile& file, const Shape& s, i32 index, Layer* layer) {
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  auto at = [&](const char* suffix) {
    name.clear();
    return write(name, "layers.", index, ".", suffix).text();
  };
  EDGELLM_TRY(file.vector(at("norm"), s.dim, &layer->norm));
  EDGELLM_TRY(file.matrix(at("in"), s.projected(), s.dim, &layer->in));
  EDGELLM_TRY(file.vector(at("conv"), s.taps * s.convolved(), &layer->conv));
  EDGELLM_TRY(file.vector_or_none(at("conv_bias"), s.convolved(), &layer->conv_bias));
  EDGELLM_TRY(file.vector(at("dt_bias"), s.heads, &layer->dt_bias));
  EDGELLM_TRY(file.vector(at("rate"), s.heads, &layer->rate));
  EDGELLM_TRY(file.vector(at("skip"), s.heads, &layer->skip));
  EDGELLM_TRY(file.vector(at("gate_norm"), s.inner(), &layer->gate_norm));
  return file.matrix(at("out"), s.dim, s.inner(), &layer->out);
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Mamba2 m = {};
  Shape& s = m.shape;
  EDGELLM_TRY(read_shape(file, &s));
  m.stream.dim = s.dim, m.stream.vocab = s.vocab;
  m.stream.norm_eps = s.norm_eps, m.stream.layer_norm = false;
  EDGELLM_TRY(m.stream.load(file, limits, s.inner(), arena, model));
  m.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, s, i, &layer));
    if (m.layers) m.layers[i] = layer;
  }
  m.all = arena.take<f32>(limits.columns * m.all_stride());
  m.y = arena.take<f32>(limits.columns * m.y_stride());
  Mamba2* placed = arena.take<Mamba2>(1);
  model->family = placed;
  model->layers = s.layers;
  model->state_bytes = m.state_bytes();
  if (placed) *placed = m;
  return {};
}

// u, b, c = silu(conv(u, b, c)) of one block of channels, its tokens in order.
void convolve(Mamba2& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 block) {
  const Shape& s = m.shape;
  const i32 at = block * BLOCK;
  const Convolution conv = {.n = min(BLOCK, s.convolved() - at),
                            .taps = s.taps,
                            .stride = s.convolved(),
                            .weight = layer.conv + at,
                            .bias = layer.conv_bias ? layer.conv_bias + at : nullptr};
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    f32* u = m.all + c * m.all_stride() + s.inner() + at;
    kernels.conv_silu(conv, u, m.past(stretch, index, block), u);
  }
}

// A step size that is not a number stays one: it reaches the residual stream, and the error names the layer.
f32 step_size(const Shape& s, f32 x) {
  const f32 dt = softplus32(x);
  return dt < s.dt_min ? s.dt_min : dt > s.dt_max ? s.dt_max : dt;
}

// y of one head, its tokens in order.
void recur(Mamba2& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 head) {
  const Shape& s = m.shape;
  const i32 group = head / (s.heads / s.groups), at = head * s.head_dim;
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    const f32 *u = m.all + c * m.all_stride() + s.inner(), *b = u + s.inner() + group * s.states;
    const f32 dt = step_size(s, u[s.convolved() + head] + layer.dt_bias[head]);
    f32* y = m.y + c * m.y_stride() + at;
    kernels.retain({.keys = s.states,
                    .values = s.head_dim,
                    .k = b,
                    .q = b + s.groups * s.states,
                    .v = u + at,
                    .decay = exp32(dt * layer.rate[head]),
                    .scale = dt},
                   m.head_state(stretch, index, head), y);
    kernels.add_scaled(y, u + at, layer.skip[head], s.head_dim);
  }
}

void mixer(Mamba2& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  const Shape& s = m.shape;
  Stream& x = m.stream;
  x.input.shape_for(layer.in);
  each_column(threads, x.columns, [&](i32 c) {
    x.normalise(kernels, x.column(c), layer.norm, nullptr, x.input.column(c));
    x.input.finish(kernels, c);
  });
  const Projection in[] = {{&layer.in, m.all, m.all_stride()}};
  project(kernels, threads, x.input, x.columns, {in, 1});

  threads.run(x.stretch_count * s.blocks(), [&](i32 chunk, i32) {
    convolve(m, layer, index, kernels, x.stretches[chunk / s.blocks()], chunk % s.blocks());
  });
  threads.run(x.stretch_count * s.heads,
              [&](i32 chunk, i32) { recur(m, layer, index, kernels, x.stretches[chunk / s.heads], chunk % s.heads); });

  x.input.shape_for(layer.out);
  each_column(threads, x.columns, [&](i32 c) {
    f32* y = m.y + c * m.y_stride();
    kernels.silu_gate(m.all + c * m.all_stride(), y, s.inner(), y);
    for (i32 at = 0; at < s.inner(); at += s.group_dim())
      kernels.rms_norm(y + at, layer.gate_norm + at, s.norm_eps, s.group_dim(), x.input.column(c) + at);
    x.input.finish(kernels, c);
  });
  const Projection out[] = {{&layer.out, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {out, 1});
  x.add_branch(kernels, threads, index);
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Mamba2& m = *static_cast<Mamba2*>(model.family);
  m.stream.begin(model, kernels, threads, items);
  for (i32 i = 0; i < m.shape.layers; i++)
    mixer(m, m.layers[i], i, kernels, threads);
  return m.stream.finish(model, kernels, threads);
}

}  // namespace

extern const Arch mamba2_arch;
const Arch mamba2_arch = {.name = "mamba2", .load = load, .forward = forward};

}  // namespace edgellm
