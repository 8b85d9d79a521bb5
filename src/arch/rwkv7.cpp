// RWKV-7 "Goose": a linear recurrence with a state of head_dim x head_dim for each head, changed by the generalised delta rule.
// Two kinds of blocks.
//
//   rwkv7_time:
//     h      = ln(x); d = (h of the token before) - h            att_norm; token shift
//     r, k, v = Wr (h + d mix_r), Wk (h + d mix_k), Wv (h + d mix_v)
//     w      = sigmoid(w0 + W2 tanh(W1 (h + d mix_w)))
//     a      = sigmoid(a0 + A2 (A1 (h + d mix_a)))
//     g      = G2 sigmoid(G1 (h + d mix_g))
//     v      = v + (v of the first such block - v) sigmoid(v0 + V2 (V1 (h + d mix_v)))      blocks after the first
//     for each head, S its state (value, key):
//       removal = l2(k k_k);  key = k (1 + (a - 1) k_a)
//       S    = S diag(exp(-e^-1/2 w)) - (S removal) (removal a)^T + v key^T
//       y    = ln(S r) + (sum of r key r_k) v                    head_norm
//     branch = Wo (y g)
//   rwkv7_channel:
//     h      = ln(x); d = (h of the token before) - h            ffn_norm
//     branch = Wffn_v relu(Wffn_k (h + d ffn_mix))^2
//
// Sources: Peng et al., "RWKV-7 Goose with Expressive Dynamic State Evolution" (arXiv:2503.14456), section 4 and appendix;
// BlinkDL/RWKV-LM, RWKV-v7/rwkv_v7_numpy.py. The kernel of the recurrence: `wkv7` in kernels.h, with S transposed.
#include <string.h>

#include "arch/shift.h"

namespace edgellm {

namespace {

// A matrix of low rank: W2 (dim, rank) times W1 (rank, dim).
struct LowRank {
  i32 rank;
  Matrix first, second;
  const f32* bias;  // (dim) or null
};

// What the mixed vectors are for. W, A, G and RESIDUAL are of low rank. The value residual has a vector of its own, because its
// weights may want another quantisation than those of v.
enum Use : i32 { R, K, V, W, A, G, RESIDUAL, USES };

struct Time {
  const f32* mix[USES];        // (dim)
  Matrix whole[W];             // R, K, V (dim, dim)
  LowRank low[USES];           // from W on
  Matrix o;                    // (dim, dim)
  const f32 *k_k, *k_a, *r_k;  // (dim)
  Norm head_norm;              // (dim)
  Rows first_v;                // (dim) v of the first such block, in the arena: it outlives that block's scratch
  i32 dim, head_dim, widest_rank;
  bool is_first;

  i32 heads() const { return dim / head_dim; }
  i32 uses() const { return is_first ? RESIDUAL : USES; }

  // State: the shifted vector (dim), then the S of each head.
  i64 state_values() const { return dim + i64{dim} * head_dim; }
  f32* head_state(f32* state, i32 head) const { return state + dim + i64{head} * head_dim * head_dim; }
};

struct TimeWork {
  Shift<USES> shift;     // its inputs serve the middles of the low-rank pairs too
  Rows middle[USES];     // (rank) between the matrices of a pair, from W on
  Rows projected[USES];  // (dim)

  TimeWork(Arena& arena, const Time& m, i32 tokens, i32) : shift(arena, tokens, max(m.dim, m.widest_rank), m.uses()) {
    for (i32 use = 0; use < m.uses(); use++) {
      if (use >= W) middle[use] = {arena, tokens, m.widest_rank};
      projected[use] = use == V && m.is_first ? m.first_v : Rows(arena, tokens, m.dim);
    }
  }
};

// The pair "<letter>1", "<letter>2" and the bias "<letter>0"; the rank is how many rows the first matrix has.
Status bind_low_rank(Layer& layer, char letter, bool biased, Time* m, LowRank* pair) {
  const char bias[] = {letter, '0', 0}, first[] = {letter, '1', 0}, second[] = {letter, '2', 0};
  const TensorEntry* entry = layer.find(first);
  const u32 rank = entry ? entry->shape[0] : 1;
  if (rank < 1 || rank > MAX_COLUMNS) {
    return bad_model("tensor ", Text(entry->name), ": rank ", rank, " is not 1 to ", MAX_COLUMNS);
  }
  pair->rank = static_cast<i32>(rank);
  m->widest_rank = max(m->widest_rank, pair->rank);
  EDGELLM_TRY(layer.bind({{first, pair->rank, m->dim, &pair->first}, {second, m->dim, pair->rank, &pair->second}}));
  return biased ? layer.bind({{bias, m->dim, &pair->bias}}) : Status();
}

Status bind_time(Layer& layer, Time* m) {
  const i32 dim = m->dim;
  EDGELLM_TRY(layer.bind({{"mix_r", dim, &m->mix[R]},
                          {"mix_k", dim, &m->mix[K]},
                          {"mix_v", dim, &m->mix[V]},
                          {"mix_w", dim, &m->mix[W]},
                          {"mix_a", dim, &m->mix[A]},
                          {"mix_g", dim, &m->mix[G]},
                          {"k_k", dim, &m->k_k},
                          {"k_a", dim, &m->k_a},
                          {"r_k", dim, &m->r_k},
                          {"r", dim, dim, &m->whole[R]},
                          {"k", dim, dim, &m->whole[K]},
                          {"v", dim, dim, &m->whole[V]},
                          {"o", dim, dim, &m->o}}));
  m->mix[RESIDUAL] = m->mix[V];
  EDGELLM_TRY(layer.required_norm("head_norm", dim, Norm::Kind::layer, &m->head_norm));
  EDGELLM_TRY(layer.real("head_norm_eps", 0, MAX_NORM_EPS, &m->head_norm.eps));
  EDGELLM_TRY(bind_low_rank(layer, 'w', true, m, &m->low[W]));
  EDGELLM_TRY(bind_low_rank(layer, 'a', true, m, &m->low[A]));
  EDGELLM_TRY(bind_low_rank(layer, 'g', false, m, &m->low[G]));
  return m->is_first ? Status() : bind_low_rank(layer, 'v', true, m, &m->low[RESIDUAL]);
}

Status load_time(Layer& layer, Block* block) {
  Time m = {};
  m.dim = layer.shape.dim;
  m.is_first = !layer.first;
  EDGELLM_TRY(layer.number("head_dim", 1, MAX_WKV7, &m.head_dim));
  if (m.heads() * m.head_dim != m.dim) {
    return bad_model("metadata: \"dim\" is ", m.dim, ", no multiple of \"head_dim\" ", m.head_dim);
  }
  EDGELLM_TRY(layer.required_norm("att_norm", m.dim, Norm::Kind::layer, &block->norm));
  EDGELLM_TRY(bind_time(layer, &m));
  if (m.is_first) {
    m.first_v = {layer.arena, layer.limits.tokens, m.dim};
  } else if (!layer.arena.counting()) {
    m.first_v = own<Time>(*layer.first).first_v;
  }
  return place<TimeWork>(layer, m, m.state_values() * i64{sizeof(f32)}, block);
}

// r, k, v, and the middles of w, a, g and the value residual.
void project_first(Batch& b, const Block& block, TimeWork& work) {
  const Time& m = own<Time>(block);
  Shifted all[USES];
  for (i32 use = 0; use < m.uses(); use++)
    all[use] = use < W ? Shifted{m.mix[use], &m.whole[use], work.projected[use]}
                       : Shifted{m.mix[use], &m.low[use].first, work.middle[use]};
  project_shifted(b, block, work.shift.rows, work.shift.inputs, {all, m.uses()});
}

// w, a, g and the value residual from their middles.
void project_second(Batch& b, const Time& m, TimeWork& work) {
  Projection projections[USES];
  for (i32 use = W; use < m.uses(); use++) {
    work.shift.inputs[use].begin(m.low[use].second, b.f32_activations);
    projections[use] = {&m.low[use].second, work.projected[use], &work.shift.inputs[use]};
  }
  each_token(b, [&](i32 token) {
    for (i32 use = W; use < m.uses(); use++) {
      const f32* middle = work.middle[use][token];
      const i32 rank = m.low[use].rank;
      f32* to = work.shift.inputs[use].row(token);
      if (use == W) {
        b.kernels.tanh(middle, rank, to);
      } else if (use == G) {
        b.kernels.sigmoid(middle, nullptr, rank, to);
      } else {
        memcpy(to, middle, static_cast<size_t>(rank) * sizeof(f32));
      }
      work.shift.inputs[use].quantise(b.kernels, token);
    }
  });
  project_all(b, {projections + W, m.uses() - W});
}

// v with its residual, `n` channels from `at` on.
const f32* value(const Batch& b, const Time& m, const TimeWork& work, i32 token, i64 at) {
  const f32* first = m.first_v[token] + at;
  if (m.is_first) return first;
  f32* share = work.projected[RESIDUAL][token] + at;
  b.kernels.sigmoid(share, m.low[RESIDUAL].bias + at, m.head_dim, share);
  b.kernels.mix(work.projected[V][token] + at, first, share, m.head_dim, share);
  return share;
}

// One head of a run, its tokens in order; writes its part of the input of o.
void recur(const Batch& b, const Block& block, const Run& run, i32 head) {
  const Time& m = own<Time>(block);
  const TimeWork& work = work_of<TimeWork>(block);
  const i32 n = m.head_dim;
  const i64 at = i64{head} * n;
  f32* state = m.head_state(state_of(block, run.state), head);
  for (i32 token = run.first; token < run.first + run.count; token++) {
    f32 *w = work.projected[W][token] + at, *a = work.projected[A][token] + at, *y = b.input.row(token) + at;
    b.kernels.sigmoid(w, m.low[W].bias + at, n, w);
    b.kernels.sigmoid(a, m.low[A].bias + at, n, a);
    const f32* v = value(b, m, work, token, at);
    const Wkv7 step = {.n = n,
                       .r = work.projected[R][token] + at,
                       .w = w,
                       .k = work.projected[K][token] + at,
                       .v = v,
                       .a = a,
                       .k_k = m.k_k + at,
                       .k_a = m.k_a + at,
                       .r_k = m.r_k + at};
    const f32 bonus = b.kernels.wkv7(step, state, y);
    b.kernels.layer_norm(y, m.head_norm.weight + at, m.head_norm.bias + at, m.head_norm.eps, n, y);
    b.kernels.add_scaled(y, v, bonus, n);
    b.kernels.multiply(y, work.projected[G][token] + at, n, y);
  }
}

void run_time(const Block& block, Batch& b) {
  const Time& m = own<Time>(block);
  TimeWork& work = work_of<TimeWork>(block);
  project_first(b, block, work);
  project_second(b, m, work);
  quantise_slices(b, m.o, m.head_dim, [&](const Run& run, i32 at, i32 n) { recur(b, block, run, at / n); });
  project(b, m.o, b.branch);
}

struct Channel {
  const f32* mix;  // (dim)
  Matrix k, v;     // (ffn_dim, dim), (dim, ffn_dim)
  i32 dim, ffn_dim;
};

struct ChannelWork {
  Shift<1> shift;
  Rows k;  // (ffn_dim)

  ChannelWork(Arena& arena, const Channel& m, i32 tokens, i32) : shift(arena, tokens, m.dim), k(arena, tokens, m.ffn_dim) {}
};

Status load_channel(Layer& layer, Block* block) {
  Channel m = {};
  const i32 dim = m.dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("ffn_dim", 1, MAX_COLUMNS, &m.ffn_dim));
  EDGELLM_TRY(layer.required_norm("ffn_norm", dim, Norm::Kind::layer, &block->norm));
  EDGELLM_TRY(layer.bind({{"ffn_mix", dim, &m.mix}, {"ffn_k", m.ffn_dim, dim, &m.k}, {"ffn_v", dim, m.ffn_dim, &m.v}}));
  layer.zero_codes = true;
  return place<ChannelWork>(layer, m, dim * i64{sizeof(f32)}, block);  // the shifted vector
}

void run_channel(const Block& block, Batch& b) {
  const Channel& m = own<Channel>(block);
  ChannelWork& work = work_of<ChannelWork>(block);
  project_shifted(b, block, work.shift, {{m.mix, &m.k, work.k}});
  quantise(b, m.v, [&](i32 token, f32* to) { b.kernels.relu2(work.k[token], m.ffn_dim, to); });
  count_zeros(b);
  project(b, m.v, b.branch);
}

}  // namespace

const BlockKind rwkv7_time_block = {.name = "rwkv7_time", .load = load_time, .run = run_time};
const BlockKind rwkv7_channel_block = {.name = "rwkv7_channel", .load = load_channel, .run = run_channel};

}  // namespace edgellm
