// RWKV-4 "Dove": attention without queries, as a recurrence of sums with a decay a channel.
//
//   x       = ln(embed[id])                                     embed_norm
//   for each layer:
//     h     = ln(x); d = (h of the token before) - h            att_norm; token shift
//     r, k, v = Wr (h + d mix_r), Wk (h + d mix_k), Wv (h + d mix_v)
//     y     = (past + e^(bonus + k) v) / (weight of past + e^(bonus + k))     past = sum over earlier tokens of e^k v, decayed
//                                                                             by e^rate for each token since
//     x     = x + Wo (sigmoid(r) y)
//     h     = ln(x); d = (h of the token before) - h            ffn_norm
//     x     = x + sigmoid(Wffn_r (h + d ffn_mix_r)) Wffn_v relu(Wffn_k (h + d ffn_mix_k))^2
//   logits  = head ln(x)                                        norm
//
// Sources: Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (arXiv:2305.13048), section 3 and appendix;
// transformers' modeling_rwkv.py. The kernel of the recurrence, with sums scaled by their largest term: `wkv4` in kernels.h.
#include <string.h>

#include "arch/recurrent.h"

namespace edgellm {

namespace {

constexpr i32 BLOCK = 256;           // channels of the recurrence that one thread takes
constexpr f32 NOTHING_YET = -1e30f;  // exponent of the largest term of an empty sum

struct Shape {
  i32 layers, dim, att_dim, ffn_dim, vocab;
  f32 norm_eps;

  i32 blocks() const { return div_up(att_dim, BLOCK); }
};

struct Layer {
  const f32 *att_norm, *att_norm_bias, *ffn_norm, *ffn_norm_bias;  // (dim)
  const f32 *mix_r, *mix_k, *mix_v;                                // (dim)
  Matrix r, k, v;                                                  // (att_dim, dim)
  const f32 *bonus, *rate;                                         // (att_dim)
  Matrix o;                                                        // (dim, att_dim)
  const f32 *ffn_mix_r, *ffn_mix_k;                                // (dim)
  Matrix ffn_r, ffn_k, ffn_v;                                      // (dim, dim), (ffn_dim, dim), (dim, ffn_dim)
};

struct Rwkv4 {
  Shape shape;
  Stream stream;
  const f32 *embed_norm, *embed_norm_bias;  // (dim)
  Layer* layers;

  ZeroCodes zero_codes;  // of the input of ffn_v
  Input inputs[3];       // one shifted vector each: of r, k, v
  Shift shifted;         // the normalised vectors (dim)
  f32 *r, *k, *v;        // (att_dim)
  f32* ffn_r;            // (dim)
  f32* hidden;           // (ffn_dim)

  i64 att_stride() const { return align_up(shape.att_dim, PANEL); }
  i64 ffn_stride() const { return align_up(shape.ffn_dim, PANEL); }

  // State of a session: for each layer, the shifted vectors of attention and ffn (dim each), then the sums, (3, channels) for
  // each block of channels.
  i64 layer_state() const { return 2 * i64{shape.dim} + 3 * i64{shape.att_dim}; }
  i64 state_bytes() const { return align_up<i64>(shape.layers * layer_state() * i64{sizeof(f32)}, 64); }
  f32* att_kept(const Stretch& stretch, i32 layer) const {
    return reinterpret_cast<f32*>(stretch.state) + layer * layer_state();
  }
  f32* ffn_kept(const Stretch& stretch, i32 layer) const { return att_kept(stretch, layer) + shape.dim; }
  f32* sums(const Stretch& stretch, i32 layer, i32 block) const {
    return att_kept(stretch, layer) + 2 * i64{shape.dim} + 3 * i64{block} * BLOCK;
  }
  i32 channels(i32 block) const { return min(BLOCK, shape.att_dim - block * BLOCK); }
};

Status read_shape(const ModelFile& file, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("att_dim", 1, MAX_COLUMNS, &shape->att_dim));
  EDGELLM_TRY(file.number("ffn_dim", 1, MAX_COLUMNS, &shape->ffn_dim));
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
  struct Vector {
    const char* name;
    const f32** values;
  };
  const Vector vectors[] = {{"att_norm", &layer->att_norm},  {"att_norm_bias", &layer->att_norm_bias},
                            {"ffn_norm", &layer->ffn_norm},  {"ffn_norm_bias", &layer->ffn_norm_bias},
                            {"mix_r", &layer->mix_r},        {"mix_k", &layer->mix_k},
                            {"mix_v", &layer->mix_v},        {"ffn_mix_r", &layer->ffn_mix_r},
                            {"ffn_mix_k", &layer->ffn_mix_k}};
  for (const Vector& vector : vectors)
    EDGELLM_TRY(file.vector(at(vector.name), s.dim, vector.values));
  EDGELLM_TRY(file.vector(at("bonus"), s.att_dim, &layer->bonus));
  EDGELLM_TRY(file.vector(at("rate"), s.att_dim, &layer->rate));
  EDGELLM_TRY(file.matrix(at("r"), s.att_dim, s.dim, &layer->r));
  EDGELLM_TRY(file.matrix(at("k"), s.att_dim, s.dim, &layer->k));
  EDGELLM_TRY(file.matrix(at("v"), s.att_dim, s.dim, &layer->v));
  EDGELLM_TRY(file.matrix(at("o"), s.dim, s.att_dim, &layer->o));
  EDGELLM_TRY(file.matrix(at("ffn_r"), s.dim, s.dim, &layer->ffn_r));
  EDGELLM_TRY(file.matrix(at("ffn_k"), s.ffn_dim, s.dim, &layer->ffn_k));
  return file.matrix(at("ffn_v"), s.dim, s.ffn_dim, &layer->ffn_v);
}

void take_buffers(Arena& arena, const Limits& limits, Rwkv4* m) {
  const i64 n = limits.columns, stride = m->stream.stride();
  for (Input& input : m->inputs)
    input.take(arena, limits.columns, m->shape.dim, limits.f32_activations);
  m->shifted = {arena.take<f32>(n * stride), stride};
  m->r = arena.take<f32>(n * m->att_stride());
  m->k = arena.take<f32>(n * m->att_stride());
  m->v = arena.take<f32>(n * m->att_stride());
  m->ffn_r = arena.take<f32>(n * stride);
  m->hidden = arena.take<f32>(n * m->ffn_stride());
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Rwkv4 m = {};
  Shape& s = m.shape;
  EDGELLM_TRY(read_shape(file, &s));
  m.stream.dim = s.dim, m.stream.vocab = s.vocab;
  m.stream.norm_eps = s.norm_eps, m.stream.layer_norm = true;
  EDGELLM_TRY(m.stream.load(file, limits, max(s.ffn_dim, s.att_dim), arena, model));
  EDGELLM_TRY(file.vector("embed_norm", s.dim, &m.embed_norm));
  EDGELLM_TRY(file.vector("embed_norm_bias", s.dim, &m.embed_norm_bias));
  m.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, s, i, &layer));
    if (m.layers) m.layers[i] = layer;
  }
  take_buffers(arena, limits, &m);
  Rwkv4* placed = arena.take<Rwkv4>(1);
  model->family = placed;
  model->layers = s.layers;
  model->state_bytes = m.state_bytes();
  if (placed) {
    *placed = m;
    model->zero_codes = &placed->zero_codes;
  }
  return {};
}

// Sums of a session that begins are empty.
void start_fresh(Rwkv4& m) {
  for (i32 i = 0; i < m.stream.stretch_count; i++) {
    const Stretch& stretch = m.stream.stretches[i];
    for (i32 layer = 0; stretch.fresh && layer < m.shape.layers; layer++) {
      for (i32 block = 0; block < m.shape.blocks(); block++) {
        const i32 n = m.channels(block);
        f32* largest = m.sums(stretch, layer, block) + 2 * i64{n};
        for (i32 c = 0; c < n; c++)
          largest[c] = NOTHING_YET;
      }
    }
  }
}

struct Mixed {
  const f32* share;  // (dim)
  const Matrix* weights;
};

// The inputs of `uses`: normalised vectors mixed with those of the token before; the last ones are kept.
void shift(Rwkv4& m, const f32* norm, const f32* bias, i32 layer, f32* (Rwkv4::*kept)(const Stretch&, i32) const,
           Span<const Mixed> uses, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  each_column(threads, x.columns, [&](i32 c) { x.normalise(kernels, x.column(c), norm, bias, m.shifted.row(c)); });
  for (i64 use = 0; use < uses.count; use++)
    m.inputs[use].shape_for(*uses[use].weights);
  each_column(threads, x.columns, [&](i32 c) {
    const f32* before = m.shifted.before(x, c, (m.*kept)(x.stretches[x.owners[c]], layer));
    for (i64 use = 0; use < uses.count; use++) {
      kernels.mix(m.shifted.row(c), before, uses[use].share, x.dim, m.inputs[use].column(c));
      m.inputs[use].finish(kernels, c);
    }
  });
  for (i32 i = 0; i < x.stretch_count; i++) {
    const Stretch& stretch = x.stretches[i];
    memcpy((m.*kept)(stretch, layer), m.shifted.row(stretch.first + stretch.count - 1),
           static_cast<size_t>(x.dim) * sizeof(f32));
  }
}

// One block of channels of a stretch, its tokens in order; writes its part of the input of o.
void recur(Rwkv4& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 block) {
  const i32 n = m.channels(block), at = block * BLOCK;
  f32* sums = m.sums(stretch, index, block);
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    const i64 here = c * m.att_stride() + at;
    f32 *r = m.r + here, *y = m.stream.input.column(c) + at;
    kernels.wkv4(m.k + here, m.v + here, layer.bonus + at, layer.rate + at, n, sums, y);
    kernels.sigmoid(r, nullptr, n, r);
    kernels.multiply(y, r, n, y);
  }
}

void attention_block(Rwkv4& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  const Mixed uses[] = {{layer.mix_r, &layer.r}, {layer.mix_k, &layer.k}, {layer.mix_v, &layer.v}};
  shift(m, layer.att_norm, layer.att_norm_bias, index, &Rwkv4::att_kept, {uses, 3}, kernels, threads);
  const Projection rkv[] = {{&layer.r, m.r, m.att_stride(), &m.inputs[0]},
                            {&layer.k, m.k, m.att_stride(), &m.inputs[1]},
                            {&layer.v, m.v, m.att_stride(), &m.inputs[2]}};
  project(kernels, threads, m.inputs[0], x.columns, {rkv, 3});

  x.input.shape_for(layer.o);
  const i32 blocks = m.shape.blocks();
  threads.run(x.stretch_count * blocks,
              [&](i32 chunk, i32) { recur(m, layer, index, kernels, x.stretches[chunk / blocks], chunk % blocks); });
  each_column(threads, x.columns, [&](i32 c) { x.input.finish(kernels, c); });
  const Projection o[] = {{&layer.o, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {o, 1});
  each_column(threads, x.columns, [&](i32 c) { kernels.add(x.column(c), x.branch_of(c), x.dim); });
}

void ffn_block(Rwkv4& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  const Mixed uses[] = {{layer.ffn_mix_r, &layer.ffn_r}, {layer.ffn_mix_k, &layer.ffn_k}};
  shift(m, layer.ffn_norm, layer.ffn_norm_bias, index, &Rwkv4::ffn_kept, {uses, 2}, kernels, threads);
  const Projection up[] = {{&layer.ffn_r, m.ffn_r, x.stride(), &m.inputs[0]},
                           {&layer.ffn_k, m.hidden, m.ffn_stride(), &m.inputs[1]}};
  project(kernels, threads, m.inputs[0], x.columns, {up, 2});

  x.input.shape_for(layer.ffn_v);
  each_column(threads, x.columns, [&](i32 c) {
    f32* r = m.ffn_r + c * x.stride();
    kernels.sigmoid(r, nullptr, x.dim, r);
    kernels.relu2(m.hidden + c * m.ffn_stride(), m.shape.ffn_dim, x.input.column(c));
    x.input.finish(kernels, c);
  });
  x.input.count_zeros(x.columns, &m.zero_codes);
  const Projection down[] = {{&layer.ffn_v, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {down, 1});
  each_column(threads, x.columns,
              [&](i32 c) { kernels.multiply(x.branch_of(c), m.ffn_r + c * x.stride(), x.dim, x.branch_of(c)); });
  x.add_branch(kernels, threads, index);
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Rwkv4& m = *static_cast<Rwkv4*>(model.family);
  Stream& x = m.stream;
  x.begin(model, kernels, threads, items);
  start_fresh(m);
  each_column(threads, x.columns,
              [&](i32 c) { x.normalise(kernels, x.column(c), m.embed_norm, m.embed_norm_bias, x.column(c)); });
  for (i32 i = 0; i < m.shape.layers; i++) {
    attention_block(m, m.layers[i], i, kernels, threads);
    ffn_block(m, m.layers[i], i, kernels, threads);
  }
  return x.finish(model, kernels, threads);
}

}  // namespace

extern const Arch rwkv4_arch;
const Arch rwkv4_arch = {.name = "rwkv4", .load = load, .forward = forward};

}  // namespace edgellm
