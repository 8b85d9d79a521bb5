// RetNet: retention, which is attention without softmax and with a decay a head, in its recurrent form.
//
//   x       = rms(embed[id])                                    embed_norm; none: as it is
//   for each layer:
//     q, k, v, g = W rms(x)                                     ret_norm
//     for each head, its state S (key_dim, head_dim) and n, the sum of the decays of the tokens so far:
//       n'    = decay n + 1
//       S     = decay sqrt(n / n') S + key_dim^-1/2 / sqrt(n') rope(k) v^T
//       y     = rms(rope(q)^T S) silu(g)
//     x     = x + Wo y
//     x     = x + Wdown (silu(Wgate f) * (Wup f)), f = rms(x)    ffn_norm
//   logits  = head rms(x)                                       norm
//
// Sources: Sun et al., "Retentive Network: A Successor to Transformer for Large Language Models" (arXiv:2307.08621), sections 2.1
// and 2.3; syncdoth/RetNet, retnet/modeling_retnet.py. The recurrence: `retain` in kernels.h.
#include "arch/attention.h"
#include "arch/recurrent.h"
#include "base/math.h"

namespace edgellm {

namespace {

struct Shape {
  i32 layers, dim, value_dim, ffn_dim, heads, vocab;
  f32 norm_eps;

  i32 key_dim() const { return dim / heads; }
  i32 head_dim() const { return value_dim / heads; }
  i32 pairs() const { return key_dim() / 2; }
};

struct Layer {
  const f32 *ret_norm, *ffn_norm;  // (dim)
  Matrix q, k, v, g;               // (dim, dim) twice, (value_dim, dim) twice
  Matrix o;                        // (dim, value_dim)
  Matrix gate, up, down;           // (ffn_dim, dim) twice, (dim, ffn_dim)
};

struct RetNet {
  Shape shape;
  Stream stream;
  const f32* embed_norm;  // (dim) or null
  const f32* inv_freq;    // (pairs)
  const f32* decay;       // (heads)
  Layer* layers;

  f32 *q, *k;          // (dim)
  f32 *v, *g;          // (value_dim)
  f32 *gate, *up;      // (ffn_dim)
  f32 *cosine, *sine;  // (pairs)

  i64 value_stride() const { return align_up(shape.value_dim, PANEL); }
  i64 ffn_stride() const { return align_up(shape.ffn_dim, PANEL); }
  Rotation rotation(i32 c) const {
    return {cosine + static_cast<i64>(c) * shape.pairs(), sine + static_cast<i64>(c) * shape.pairs()};
  }

  // State of a session: for each layer, n of each head, then the heads' S.
  i64 layer_state() const { return shape.heads + i64{shape.key_dim()} * shape.value_dim; }
  i64 state_bytes() const { return align_up<i64>(shape.layers * layer_state() * i64{sizeof(f32)}, 64); }
  f32* sum(const Stretch& stretch, i32 layer, i32 head) const {
    return reinterpret_cast<f32*>(stretch.state) + layer * layer_state() + head;
  }
  f32* head_state(const Stretch& stretch, i32 layer, i32 head) const {
    return sum(stretch, layer, shape.heads) + i64{head} * shape.key_dim() * shape.head_dim();
  }
};

Status read_shape(const ModelFile& file, Shape* shape) {
  EDGELLM_TRY(file.number("layers", 1, MAX_LAYERS, &shape->layers));
  EDGELLM_TRY(file.number("dim", 1, MAX_COLUMNS, &shape->dim));
  EDGELLM_TRY(file.number("value_dim", 1, MAX_COLUMNS, &shape->value_dim));
  EDGELLM_TRY(file.number("ffn_dim", 1, MAX_COLUMNS, &shape->ffn_dim));
  EDGELLM_TRY(file.number("heads", 1, MAX_HEADS, &shape->heads));
  EDGELLM_TRY(file.number("vocab", 1, MAX_VOCAB, &shape->vocab));
  EDGELLM_TRY(file.real("norm_eps", 0, MAX_NORM_EPS, &shape->norm_eps));
  if (shape->dim % (2 * shape->heads) == 0 && shape->value_dim % shape->heads == 0) return {};
  return bad_model("metadata: ", shape->heads, " heads do not divide \"dim\" ", shape->dim, " into pairs and \"value_dim\" ",
                   shape->value_dim);
}

Status same_input(i32 index, const Matrix& a, const Matrix& b, const char* names) {
  if (a.activations == b.activations) return {};
  return bad_model("tensors layers.", index, ".", names,
                   ": they share their input but ask for different quantisation of it");
}

Status bind_layer(const ModelFile& file, const Shape& s, i32 index, Layer* layer) {
  char buffer[MAX_TENSOR_NAME + 1];
  Writer name(buffer);
  auto at = [&](const char* suffix) {
    name.clear();
    return write(name, "layers.", index, ".", suffix).text();
  };
  EDGELLM_TRY(file.vector(at("ret_norm"), s.dim, &layer->ret_norm));
  EDGELLM_TRY(file.vector(at("ffn_norm"), s.dim, &layer->ffn_norm));
  EDGELLM_TRY(file.matrix(at("q"), s.dim, s.dim, &layer->q));
  EDGELLM_TRY(file.matrix(at("k"), s.dim, s.dim, &layer->k));
  EDGELLM_TRY(file.matrix(at("v"), s.value_dim, s.dim, &layer->v));
  EDGELLM_TRY(file.matrix(at("g"), s.value_dim, s.dim, &layer->g));
  EDGELLM_TRY(file.matrix(at("o"), s.dim, s.value_dim, &layer->o));
  EDGELLM_TRY(file.matrix(at("gate"), s.ffn_dim, s.dim, &layer->gate));
  EDGELLM_TRY(file.matrix(at("up"), s.ffn_dim, s.dim, &layer->up));
  EDGELLM_TRY(file.matrix(at("down"), s.dim, s.ffn_dim, &layer->down));
  EDGELLM_TRY(same_input(index, layer->q, layer->k, "q, k"));
  EDGELLM_TRY(same_input(index, layer->q, layer->v, "q, v"));
  EDGELLM_TRY(same_input(index, layer->q, layer->g, "q, g"));
  return same_input(index, layer->gate, layer->up, "gate, up");
}

void take_buffers(Arena& arena, i64 n, RetNet* m) {
  const i64 stride = m->stream.stride();
  m->q = arena.take<f32>(n * stride);
  m->k = arena.take<f32>(n * stride);
  m->v = arena.take<f32>(n * m->value_stride());
  m->g = arena.take<f32>(n * m->value_stride());
  m->gate = arena.take<f32>(n * m->ffn_stride());
  m->up = arena.take<f32>(n * m->ffn_stride());
  m->cosine = arena.take<f32>(n * m->shape.pairs());
  m->sine = arena.take<f32>(n * m->shape.pairs());
}

Status load(const ModelFile& file, const Limits& limits, Arena& arena, Model* model) {
  RetNet m = {};
  Shape& s = m.shape;
  EDGELLM_TRY(read_shape(file, &s));
  m.stream.dim = s.dim, m.stream.vocab = s.vocab;
  m.stream.norm_eps = s.norm_eps, m.stream.layer_norm = false;
  EDGELLM_TRY(m.stream.load(file, limits, max(s.value_dim, s.ffn_dim), arena, model));
  EDGELLM_TRY(file.vector_or_none("embed_norm", s.dim, &m.embed_norm));
  EDGELLM_TRY(file.vector("rope.inv_freq", s.pairs(), &m.inv_freq));
  EDGELLM_TRY(file.vector("decay", s.heads, &m.decay));
  m.layers = arena.take<Layer>(s.layers);
  for (i32 i = 0; i < s.layers; i++) {
    Layer layer = {};
    EDGELLM_TRY(bind_layer(file, s, i, &layer));
    if (m.layers) m.layers[i] = layer;
  }
  take_buffers(arena, limits.columns, &m);
  RetNet* placed = arena.take<RetNet>(1);
  model->family = placed;
  model->layers = s.layers;
  model->state_bytes = m.state_bytes();
  if (placed) *placed = m;
  return {};
}

// One head of a stretch, its tokens in order; writes its part of the input of o.
void recur(RetNet& m, i32 index, const Kernels& kernels, const Stretch& stretch, i32 head) {
  const Shape& s = m.shape;
  const i32 keys = s.key_dim(), values = s.head_dim();
  const f32 decay = m.decay[head], key_scale = 1.0f / __builtin_sqrtf(static_cast<f32>(keys));
  f32* sum = m.sum(stretch, index, head);
  for (i32 c = stretch.first; c < stretch.first + stretch.count; c++) {
    f32 *q = m.q + c * m.stream.stride() + head * keys, *k = m.k + c * m.stream.stride() + head * keys;
    f32* y = m.stream.input.column(c) + head * values;
    const Rotation rotation = m.rotation(c);
    kernels.rope_interleaved(q, rotation.cosine, rotation.sine, s.pairs());
    kernels.rope_interleaved(k, rotation.cosine, rotation.sine, s.pairs());
    const f32 before = *sum, now = fma32(decay, before, 1.0f);
    *sum = now;
    kernels.retain({.keys = keys,
                    .values = values,
                    .k = k,
                    .q = q,
                    .v = m.v + c * m.value_stride() + head * values,
                    .decay = decay * __builtin_sqrtf(before / now),
                    .scale = key_scale / __builtin_sqrtf(now)},
                   m.head_state(stretch, index, head), y);
    kernels.rms_norm(y, nullptr, s.norm_eps, values, y);
    kernels.silu_gate(m.g + c * m.value_stride() + head * values, y, values, y);
  }
}

void retention_block(RetNet& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  x.input.shape_for(layer.q);
  each_column(threads, x.columns, [&](i32 c) {
    x.normalise(kernels, x.column(c), layer.ret_norm, nullptr, x.input.column(c));
    x.input.finish(kernels, c);
  });
  const Projection qkvg[] = {{&layer.q, m.q, x.stride()},
                             {&layer.k, m.k, x.stride()},
                             {&layer.v, m.v, m.value_stride()},
                             {&layer.g, m.g, m.value_stride()}};
  project(kernels, threads, x.input, x.columns, {qkvg, 4});

  x.input.shape_for(layer.o);
  threads.run(x.stretch_count * m.shape.heads,
              [&](i32 chunk, i32) { recur(m, index, kernels, x.stretches[chunk / m.shape.heads], chunk % m.shape.heads); });
  each_column(threads, x.columns, [&](i32 c) { x.input.finish(kernels, c); });
  const Projection o[] = {{&layer.o, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {o, 1});
}

void ffn_block(RetNet& m, const Layer& layer, i32 index, const Kernels& kernels, Threads& threads) {
  Stream& x = m.stream;
  x.input.shape_for(layer.gate);
  each_column(threads, x.columns, [&](i32 c) {
    kernels.add(x.column(c), x.branch_of(c), x.dim);
    x.normalise(kernels, x.column(c), layer.ffn_norm, nullptr, x.input.column(c));
    x.input.finish(kernels, c);
  });
  const Projection gate_up[] = {{&layer.gate, m.gate, m.ffn_stride()}, {&layer.up, m.up, m.ffn_stride()}};
  project(kernels, threads, x.input, x.columns, {gate_up, 2});

  x.input.shape_for(layer.down);
  each_column(threads, x.columns, [&](i32 c) {
    kernels.silu_gate(m.gate + c * m.ffn_stride(), m.up + c * m.ffn_stride(), m.shape.ffn_dim, x.input.column(c));
    x.input.finish(kernels, c);
  });
  const Projection down[] = {{&layer.down, x.branch, x.stride()}};
  project(kernels, threads, x.input, x.columns, {down, 1});
  x.add_branch(kernels, threads, index);
}

Status forward(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items) {
  RetNet& m = *static_cast<RetNet*>(model.family);
  Stream& x = m.stream;
  x.begin(model, kernels, threads, items);
  each_column(threads, x.columns, [&](i32 c) {
    fill_rotation(x.positions[c], m.inv_freq, m.shape.pairs(), 1, m.rotation(c));
    if (m.embed_norm) x.normalise(kernels, x.column(c), m.embed_norm, nullptr, x.column(c));
  });
  for (i32 i = 0; i < m.shape.layers; i++) {
    retention_block(m, m.layers[i], i, kernels, threads);
    ffn_block(m, m.layers[i], i, kernels, threads);
  }
  return x.finish(model, kernels, threads);
}

}  // namespace

extern const Arch retnet_arch;
const Arch retnet_arch = {.name = "retnet", .load = load, .forward = forward};

}  // namespace edgellm
