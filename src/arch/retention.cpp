// Retention, which is attention without softmax and with a decay for each head, in its recurrent form (RetNet).
//
//   q, k, v, g = W rms(x)                                     ret_norm
//   for each head, its state S (key_dim, head_dim) and n, the sum of the decays of the tokens so far:
//     n'   = decay n + 1
//     S    = decay sqrt(n / n') S + key_dim^-1/2 / sqrt(n') rope(k) v^T
//     y    = rms(rope(q)^T S) silu(g)
//   branch = Wo y
//
// Sources: Sun et al., "Retentive Network: A Successor to Transformer for Large Language Models" (arXiv:2307.08621), sections 2.1
// and 2.3; syncdoth/RetNet, retnet/modeling_retnet.py. The recurrence: `retain` in kernels.h.
#include "arch/block.h"
#include "base/math.h"

namespace edgellm {

namespace {

struct Retention {
  Matrix q, k;       // (dim, dim)
  Matrix v, g;       // (value_dim, dim)
  Matrix o;          // (dim, value_dim)
  const f32* decay;  // (heads) of all layers
  i32 dim, value_dim, heads;

  i32 key_dim() const { return dim / heads; }
  i32 head_dim() const { return value_dim / heads; }

  // State: n of each head, then the S of each.
  i64 state_values() const { return heads + i64{key_dim()} * value_dim; }
  f32* head_state(f32* state, i32 head) const { return state + heads + i64{head} * key_dim() * head_dim(); }
};

struct Work {
  Rows q, k;  // (dim)
  Rows v, g;  // (value_dim)

  Work(Arena& arena, const Retention& r, i32 tokens, i32)
      : q(arena, tokens, r.dim), k(arena, tokens, r.dim), v(arena, tokens, r.value_dim), g(arena, tokens, r.value_dim) {}
};

Status read_shape(Layer& layer, Retention* r) {
  r->dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("value_dim", 1, MAX_COLUMNS, &r->value_dim));
  EDGELLM_TRY(layer.number("heads", 1, MAX_HEADS, &r->heads));
  if (r->dim % (2 * r->heads) || r->value_dim % r->heads) {
    return bad_model("metadata: ", r->heads, " heads do not divide \"dim\" ", r->dim, " into pairs and \"value_dim\" ",
                     r->value_dim);
  }
  if (i32 pairs = layer.ropes[0].pairs; pairs != r->key_dim() / 2) {
    return bad_model("tensor rope.inv_freq: ", pairs, " rotated pairs, expected ", r->key_dim() / 2);
  }
  return {};
}

Status load(Layer& layer, Block* block) {
  Retention r = {};
  EDGELLM_TRY(read_shape(layer, &r));
  const i32 dim = r.dim, value_dim = r.value_dim;
  EDGELLM_TRY(layer.required_norm("ret_norm", dim, Norm::Kind::rms, &block->norm));
  EDGELLM_TRY(layer.file.vector("decay", r.heads, &r.decay));
  EDGELLM_TRY(layer.bind({{"q", dim, dim, &r.q},
                          {"k", dim, dim, &r.k},
                          {"v", value_dim, dim, &r.v},
                          {"g", value_dim, dim, &r.g},
                          {"o", dim, value_dim, &r.o}}));
  EDGELLM_TRY(layer.same_input("q, k", r.q, r.k));
  EDGELLM_TRY(layer.same_input("q, v", r.q, r.v));
  EDGELLM_TRY(layer.same_input("q, g", r.q, r.g));
  return place<Work>(layer, r, r.state_values() * i64{sizeof(f32)}, block);
}

// One head of a run, its tokens in order; writes its part of the input of o.
void recur(const Batch& b, const Block& block, const Run& run, i32 head) {
  const Retention& r = own<Retention>(block);
  const Work& work = work_of<Work>(block);
  const i32 keys = r.key_dim(), values = r.head_dim();
  const f32 decay = r.decay[head], key_scale = 1.0f / __builtin_sqrtf(static_cast<f32>(keys));
  f32 *sum = state_of(block, run.state) + head, *state = r.head_state(state_of(block, run.state), head);
  for (i32 token = run.first; token < run.first + run.count; token++) {
    f32 *q = work.q[token] + head * keys, *k = work.k[token] + head * keys, *y = b.input.row(token) + head * values;
    const Rotation rotation = b.ropes[0][token];
    b.kernels.rope_interleaved(q, rotation.cosine, rotation.sine, keys / 2);
    b.kernels.rope_interleaved(k, rotation.cosine, rotation.sine, keys / 2);
    const f32 before = *sum, now = fma32(decay, before, 1.0f);
    *sum = now;
    b.kernels.retain({.keys = keys,
                      .values = values,
                      .k = k,
                      .q = q,
                      .v = work.v[token] + head * values,
                      .decay = decay * __builtin_sqrtf(before / now),
                      .scale = key_scale / __builtin_sqrtf(now)},
                     state, y);
    b.kernels.rms_norm(y, nullptr, block.norm.eps, values, y);
    b.kernels.silu_gate(work.g[token] + head * values, y, values, y);
  }
}

void run(const Block& block, Batch& b) {
  const Retention& r = own<Retention>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, r.q);
  project(b, {{&r.q, work.q}, {&r.k, work.k}, {&r.v, work.v}, {&r.g, work.g}});
  quantise_slices(b, r.o, r.head_dim(), [&](const Run& run, i32 at, i32 n) { recur(b, block, run, at / n); });
  project(b, r.o, b.branch);
}

}  // namespace

const BlockKind retention_block = {.name = "retention", .load = load, .run = run};

}  // namespace edgellm
