// RWKV-7 "Goose": a linear recurrence with a state of head_dim x head_dim a head, changed by the generalised delta rule.
//
//   x       = ln(embed[id])                                     embed_norm
//   for each layer:
//     h     = ln(x); d = (h of the token before) - h            att_norm; token shift
//     r, k, v = Wr (h + d mix_r), Wk (h + d mix_k), Wv (h + d mix_v)
//     w     = sigmoid(w0 + W2 tanh(W1 (h + d mix_w)))
//     a     = sigmoid(a0 + A2 (A1 (h + d mix_a)))
//     g     = G2 sigmoid(G1 (h + d mix_g))
//     v     = v + (v of layer 0 - v) sigmoid(v0 + V2 (V1 (h + d mix_v)))      layers after the first
//     for each head, S its state (value, key):
//       removal = l2(k k_k);  key = k (1 + (a - 1) k_a)
//       S     = S diag(exp(-e^-1/2 w)) - (S removal) (removal a)^T + v key^T
//       y     = ln(S r) + (sum of r key r_k) v                  head_norm
//     x     = x + Wo (y g)
//     h     = ln(x); d = (h of the token before) - h            ffn_norm
//     x     = x + Wffn_v relu(Wffn_k (h + d ffn_mix))^2
//   logits  = head ln(x)                                        norm
//
// Sources: Peng et al., "RWKV-7 Goose with Expressive Dynamic State Evolution" (arXiv:2503.14456), section 4 and appendix;
// BlinkDL/RWKV-LM, RWKV-v7/rwkv_v7_numpy.py. The kernel of the recurrence: `wkv7` in kernels.h, with S transposed.
#include <string.h>

#include "arch/recurrent.h"

namespace edgellm {

namespace {

struct Shape {
  i32 layers, dim, ffn_dim, head_dim, heads, vocab;
  i32 widest_rank;  // of the low-rank pairs
  f32 norm_eps, head_norm_eps;
};

// A matrix of low rank: W2 (dim, rank) times W1 (rank, dim).
struct LowRank {
  i32 rank;
  Matrix first, second;
  const f32* bias;  // (dim) or null
};

// What the shifted vectors are for. Value residuals have a vector of their own: their weights may want another quantisation.
enum Use : i32 { R, K, V, W, A, G, RESIDUAL, USES };

struct Layer {
  const f32 *att_norm, *att_norm_bias, *ffn_norm, *ffn_norm_bias;  // (dim)
  const f32* mix[USES];                                            // (dim)
  Matrix r, k, v, o;                                               // (dim, dim)
  LowRank w, a, g, residual;
  const f32 *k_k, *k_a, *r_k;             // (dim)
  const f32 *head_norm, *head_norm_bias;  // (dim)
  const f32* ffn_mix;                     // (dim)
  Matrix ffn_k, ffn_v;                    // (ffn_dim, dim), (dim, ffn_dim)
};

struct Rwkv7 {
  Shape shape;
  Stream stream;
  const f32 *embed_norm, *embed_norm_bias;  // (dim)
  Layer* layers;

  ZeroCodes zero_codes;  // of the input of ffn_v
  Input inputs[USES];    // of one shifted vector each, or of one low-rank middle
  Shift shifted;         // the normalised vectors (dim)
  f32* made[USES];       // what the matrices made of them (dim)
  f32* middle[USES];     // between the matrices of a low-rank pair (rank)
  f32* first_v;          // v of layer 0 (dim)
  f32* hidden;           // (ffn_dim)

  i64 stride() const { return stream.stride(); }
  i64 rank_stride() const { return align_up(shape.widest_rank, PANEL); }
  i64 ffn_stride() const { return align_up(shape.ffn_dim, PANEL); }

  // State of a session: for each layer, the shifted vectors of attention and ffn (dim each), then the heads' S.
  i64 layer_state() const { return 2 * i64{shape.dim} + i64{shape.dim} * shape.head_dim; }
  i64 state_bytes() const { return align_up<i64>(shape.layers * layer_state() * i64{sizeof(f32)}, 64); }
  f32* state(const Stretch& stretch, i32 layer) const {
    return reinterpret_cast<f32*>(stretch.state) + layer * layer_state();
  }
  f32* att_kept(const Stretch& stretch, i32 layer) const { return state(stretch, layer); }
  f32* ffn_kept(const Stretch& stretch, i32 layer) const { return state(stretch, layer) + shape.dim; }
  f32* head_state(const Stretch& stretch, i32 layer, i32 head) const {
    return state(stretch, layer) + 2 * i64{shape.dim} + i64{head} * shape.head_dim * shape.head_dim;
  }
};

Status read_shape(const ModelFile& file, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("ffn_dim", 1, MAX_COLUMNS, &shape->ffn_dim));
  EDGELLM_TRY(file.number("head_dim", 1, MAX_WKV7, &shape->head_dim));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  EDGELLM_TRY(file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps));
  EDGELLM_TRY(file.real("head_norm_eps", 0, MAX_NORM_EPS, &shape->head_norm_eps));
  shape->heads = shape->dim / shape->head_dim;
  if (shape->heads * shape->head_dim == shape->dim) return {};
  return bad_model("metadata: \"dim\" is ", shape->dim, ", no multiple of \"head_dim\" ", shape->head_dim);
}

// The pair "<letter>1", "<letter>2" and the bias "<letter>0"; the rank is what the first matrix has rows.
Status bind_low_rank(const ModelFile& file, Shape* s, i32 index, const char* letter, bool biased, LowRank* pair) {
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  auto at = [&](const char* digit) {
    name.clear();
    return write(name, "layers.", index, ".", letter, digit).text();
  };
  const TensorEntry* first = file.find(at("1"));
  u32 rank = first ? first->shape[0] : 1;
  if (rank < 1 || rank > MAX_COLUMNS)
    return bad_model("tensor ", name.text(), ": rank ", rank, " is not 1 to ", MAX_COLUMNS);
  pair->rank = static_cast<i32>(rank);
  s->widest_rank = max(s->widest_rank, pair->rank);
  EDGELLM_TRY(file.matrix(at("1"), pair->rank, s->dim, &pair->first));
  EDGELLM_TRY(file.matrix(at("2"), s->dim, pair->rank, &pair->second));
  return biased ? file.vector(at("0"), s->dim, &pair->bias) : Status();
}

Status bind_layer(const ModelFile& file, Shape* s, i32 index, Layer* layer) {
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
  const Vector vectors[] = {{"att_norm", &layer->att_norm}, {"att_norm_bias", &layer->att_norm_bias},
                            {"ffn_norm", &layer->ffn_norm}, {"ffn_norm_bias", &layer->ffn_norm_bias},
                            {"mix_r", &layer->mix[R]},      {"mix_k", &layer->mix[K]},
                            {"mix_v", &layer->mix[V]},      {"mix_w", &layer->mix[W]},
                            {"mix_a", &layer->mix[A]},      {"mix_g", &layer->mix[G]},
                            {"k_k", &layer->k_k},           {"k_a", &layer->k_a},
                            {"r_k", &layer->r_k},           {"head_norm", &layer->head_norm},
                            {"ffn_mix", &layer->ffn_mix},   {"head_norm_bias", &layer->head_norm_bias}};
  for (const Vector& vector : vectors)
    EDGELLM_TRY(file.vector(at(vector.name), s->dim, vector.values));
  layer->mix[RESIDUAL] = layer->mix[V];
  EDGELLM_TRY(file.matrix(at("r"), s->dim, s->dim, &layer->r));
  EDGELLM_TRY(file.matrix(at("k"), s->dim, s->dim, &layer->k));
  EDGELLM_TRY(file.matrix(at("v"), s->dim, s->dim, &layer->v));
  EDGELLM_TRY(file.matrix(at("o"), s->dim, s->dim, &layer->o));
  EDGELLM_TRY(file.matrix(at("ffn_k"), s->ffn_dim, s->dim, &layer->ffn_k));
  EDGELLM_TRY(file.matrix(at("ffn_v"), s->dim, s->ffn_dim, &layer->ffn_v));
  EDGELLM_TRY(bind_low_rank(file, s, index, "w", true, &layer->w));
  EDGELLM_TRY(bind_low_rank(file, s, index, "a", true, &layer->a));
  EDGELLM_TRY(bind_low_rank(file, s, index, "g", false, &layer->g));
  return index ? bind_low_rank(file, s, index, "v", true, &layer->residual) : Status();
}

void take_buffers(Arena& arena, const Limits& limits, Rwkv7* m) {
  i64 n = limits.columns;
  m->shifted = {arena.take<f32>(n * m->stride()), m->stride()};
  for (i32 use = 0; use < USES; use++) {
    m->inputs[use].take(arena, limits.columns, max(m->shape.dim, m->shape.widest_rank), limits.f32_activations);
    m->made[use] = arena.take<f32>(n * m->stride());
    if (use >= W) m->middle[use] = arena.take<f32>(n * m->rank_stride());
  }
  m->first_v = arena.take<f32>(n * m->stride());
  m->hidden = arena.take<f32>(n * m->ffn_stride());
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  Rwkv7 m = {};
  Shape& s = m.shape;
  EDGELLM_TRY(read_shape(file, &s));
  m.stream.dim = s.dim, m.stream.vocab = s.vocab;
  m.stream.norm_eps = s.norm_eps, m.stream.layer_norm = true;
  EDGELLM_TRY(m.stream.load(file, limits, s.ffn_dim, arena, model));
  EDGELLM_TRY(file.vector("embed_norm", s.dim, &m.embed_norm));
  EDGELLM_TRY(file.vector("embed_norm_bias", s.dim, &m.embed_norm_bias));
  m.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, &s, i, &layer));
    if (m.layers) m.layers[i] = layer;
  }
  take_buffers(arena, limits, &m);
  Rwkv7* placed = arena.take<Rwkv7>(1);
  model->family = placed;
  model->layers = s.layers;
  model->state_bytes = m.state_bytes();
  if (placed) {
    *placed = m;
    model->zero_codes = &placed->zero_codes;
  }
  return {};
}

// The last vector of each stretch, for the token that will follow it.
template <class Kept>
void keep_last(const Rwkv7& m, i32 layer, Kept kept) {
  for (i32 i = 0; i < m.stream.stretch_count; i++) {
    const Stretch& stretch = m.stream.stretches[i];
    memcpy((m.*kept)(stretch, layer), m.shifted.row(stretch.first + stretch.count - 1),
           static_cast<size_t>(m.shape.dim) * sizeof(f32));
  }
}

// r, k, v, and the middles of w, a, g and the value residual.
void first_projections(Rwkv7& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  const Matrix* weights[USES] = {
      &layer.r, &layer.k, &layer.v, &layer.w.first, &layer.a.first, &layer.g.first, &layer.residual.first};
  const i32 uses = index ? USES : RESIDUAL;
  each_column(threads, x.columns,
              [&](i32 c) { x.normalise(kernels, x.column(c), layer.att_norm, layer.att_norm_bias, m.shifted.row(c)); });
  for (i32 use = 0; use < uses; use++)
    m.inputs[use].shape_for(*weights[use]);
  each_column(threads, x.columns, [&](i32 c) {
    const f32* before = m.shifted.before(x, c, m.att_kept(x.stretches[x.owners[c]], index));
    for (i32 use = 0; use < uses; use++) {
      kernels.mix(m.shifted.row(c), before, layer.mix[use], m.shape.dim, m.inputs[use].column(c));
      m.inputs[use].finish(kernels, c);
    }
  });
  keep_last(m, index, &Rwkv7::att_kept);
  Projection projections[USES];
  for (i32 use = 0; use < uses; use++) {
    bool whole = use < W;
    f32* v_made = index ? m.made[V] : m.first_v;
    projections[use] = {weights[use], whole ? (use == V ? v_made : m.made[use]) : m.middle[use],
                        whole ? m.stride() : m.rank_stride(), &m.inputs[use]};
  }
  project(kernels, threads, m.inputs[R], x.columns, {projections, uses});
}

// w, a, g and the value residual from their middles.
void second_projections(Rwkv7& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  const LowRank* pairs[USES] = {nullptr, nullptr, nullptr, &layer.w, &layer.a, &layer.g, &layer.residual};
  const i32 uses = index ? USES : RESIDUAL;
  Projection projections[USES];
  for (i32 use = W; use < uses; use++) {
    m.inputs[use].shape_for(pairs[use]->second);
    projections[use] = {&pairs[use]->second, m.made[use], m.stride(), &m.inputs[use]};
  }
  each_column(threads, m.stream.columns, [&](i32 c) {
    for (i32 use = W; use < uses; use++) {
      const f32* middle = m.middle[use] + c * m.rank_stride();
      f32* to = m.inputs[use].column(c);
      if (use == W) {
        kernels.tanh(middle, pairs[use]->rank, to);
      } else if (use == G) {
        kernels.sigmoid(middle, nullptr, pairs[use]->rank, to);
      } else {
        memcpy(to, middle, static_cast<size_t>(pairs[use]->rank) * sizeof(f32));
      }
      m.inputs[use].finish(kernels, c);
    }
  });
  project(kernels, threads, m.inputs[W], m.stream.columns, {projections + W, uses - W});
}

// One head of a stretch, its tokens in order; writes its part of the input of o.
void recur(Rwkv7& m, const Layer& layer, i32 index, const Kernels& kernels, const Stretch& stretch, i32 head) {
  const i32 n = m.shape.head_dim;
  const i64 at = i64{head} * n;
  f32* state = m.head_state(stretch, index, head);
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    const i64 here = c * m.stride() + at;
    f32 *w = m.made[W] + here, *a = m.made[A] + here, *v = m.first_v + here, *y = m.stream.input.column(c) + at;
    kernels.sigmoid(w, layer.w.bias + at, n, w);
    kernels.sigmoid(a, layer.a.bias + at, n, a);
    if (index) {
      f32* share = m.made[RESIDUAL] + here;
      kernels.sigmoid(share, layer.residual.bias + at, n, share);
      kernels.mix(m.made[V] + here, v, share, n, share);
      v = share;
    }
    const Wkv7 step = {.n = n,
                       .r = m.made[R] + here,
                       .w = w,
                       .k = m.made[K] + here,
                       .v = v,
                       .a = a,
                       .k_k = layer.k_k + at,
                       .k_a = layer.k_a + at,
                       .r_k = layer.r_k + at};
    f32 bonus = kernels.wkv7(step, state, y);
    kernels.layer_norm(y, layer.head_norm + at, layer.head_norm_bias + at, m.shape.head_norm_eps, n, y);
    kernels.add_scaled(y, v, bonus, n);
    kernels.multiply(y, m.made[G] + here, n, y);
  }
}

void attention_block(Rwkv7& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  first_projections(m, layer, index, kernels, threads);
  second_projections(m, layer, index, kernels, threads);
  x.input.shape_for(layer.o);
  threads.run(x.stretch_count * m.shape.heads, [&](i32 chunk, i32) {
    recur(m, layer, index, kernels, x.stretches[chunk / m.shape.heads], chunk % m.shape.heads);
  });
  each_column(threads, x.columns, [&](i32 c) { x.input.finish(kernels, c); });
  const Projection o[] = {{&layer.o, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {o, 1});
}

void ffn_block(Rwkv7& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  each_column(threads, x.columns, [&](i32 c) {
    kernels.add(x.column(c), x.branch_of(c), x.dim);
    x.normalise(kernels, x.column(c), layer.ffn_norm, layer.ffn_norm_bias, m.shifted.row(c));
  });
  x.input.shape_for(layer.ffn_k);
  each_column(threads, x.columns, [&](i32 c) {
    const f32* before = m.shifted.before(x, c, m.ffn_kept(x.stretches[x.owners[c]], index));
    kernels.mix(m.shifted.row(c), before, layer.ffn_mix, x.dim, x.input.column(c));
    x.input.finish(kernels, c);
  });
  keep_last(m, index, &Rwkv7::ffn_kept);
  const Projection up[] = {{&layer.ffn_k, m.hidden, m.ffn_stride()}};
  project(kernels, threads, x.input, x.columns, {up, 1});

  x.input.shape_for(layer.ffn_v);
  each_column(threads, x.columns, [&](i32 c) {
    kernels.relu2(m.hidden + c * m.ffn_stride(), m.shape.ffn_dim, x.input.column(c));
    x.input.finish(kernels, c);
  });
  x.input.count_zeros(x.columns, &m.zero_codes);
  const Projection down[] = {{&layer.ffn_v, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {down, 1});
  x.add_branch(kernels, threads, index);
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  Rwkv7& m = *static_cast<Rwkv7*>(model.family);
  Stream& x = m.stream;
  x.begin(model, kernels, threads, items);
  each_column(threads, x.columns,
              [&](i32 c) { x.normalise(kernels, x.column(c), m.embed_norm, m.embed_norm_bias, x.column(c)); });
  for (i32 i = 0; i < m.shape.layers; i++) {
    attention_block(m, m.layers[i], i, kernels, threads);
    ffn_block(m, m.layers[i], i, kernels, threads);
  }
  return x.finish(model, kernels, threads);
}

}  // namespace

extern const Arch rwkv7_arch;
const Arch rwkv7_arch = {.name = "rwkv7", .load = load, .forward = forward};

}  // namespace edgellm
