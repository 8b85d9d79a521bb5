// RWKV-4 "Dove": attention without queries, as a recurrence of sums with a decay for each channel. Two kinds of blocks.
//
//   rwkv4_time:
//     h      = ln(x); d = (h of the token before) - h            att_norm; token shift
//     r, k, v = Wr (h + d mix_r), Wk (h + d mix_k), Wv (h + d mix_v)
//     y      = (past + e^(bonus + k) v) / (weight of past + e^(bonus + k))     past = sum over earlier tokens of e^k v, decayed
//                                                                              by e^rate for each token since
//     branch = Wo (sigmoid(r) y)
//   rwkv4_channel:
//     h      = ln(x); d = (h of the token before) - h            ffn_norm
//     branch = sigmoid(Wffn_r (h + d ffn_mix_r)) Wffn_v relu(Wffn_k (h + d ffn_mix_k))^2
//
// Sources: Peng et al., "RWKV: Reinventing RNNs for the Transformer Era" (arXiv:2305.13048), section 3 and appendix;
// transformers' modeling_rwkv.py. The kernel of the recurrence, with sums scaled by their largest term: `wkv4` in kernels.h.
#include "arch/shift.h"

namespace edgellm {

namespace {

constexpr i32 SLICE = 256;           // channels of the recurrence that one thread takes
constexpr f32 NOTHING_YET = -1e30f;  // exponent of the largest term of an empty sum

struct Time {
  const f32 *mix_r, *mix_k, *mix_v;  // (dim)
  Matrix r, k, v;                    // (att_dim, dim)
  const f32 *bonus, *rate;           // (att_dim)
  Matrix o;                          // (dim, att_dim)
  i32 dim, att_dim;

  // State: the shifted vector (dim), then the sums, (3, channels) for each slice of channels.
  i64 state_values() const { return dim + 3 * i64{att_dim}; }
  f32* sums(f32* state, i32 channel) const { return state + dim + 3 * i64{channel}; }
};

struct TimeWork {
  Shift<3> shift;
  Rows r, k, v;  // (att_dim)

  TimeWork(Arena& arena, const Time& m, i32 tokens, i32)
      : shift(arena, tokens, m.dim), r(arena, tokens, m.att_dim), k(arena, tokens, m.att_dim), v(arena, tokens, m.att_dim) {}
};

Status load_time(Layer& layer, Block* block) {
  Time m = {};
  const i32 dim = m.dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("att_dim", 1, MAX_COLUMNS, &m.att_dim));
  EDGELLM_TRY(layer.required_norm("att_norm", dim, Norm::Kind::layer, &block->norm));
  EDGELLM_TRY(layer.bind({{"mix_r", dim, &m.mix_r},
                          {"mix_k", dim, &m.mix_k},
                          {"mix_v", dim, &m.mix_v},
                          {"bonus", m.att_dim, &m.bonus},
                          {"rate", m.att_dim, &m.rate},
                          {"r", m.att_dim, dim, &m.r},
                          {"k", m.att_dim, dim, &m.k},
                          {"v", m.att_dim, dim, &m.v},
                          {"o", dim, m.att_dim, &m.o}}));
  return place<TimeWork>(layer, m, m.state_values() * i64{sizeof(f32)}, block);
}

// The sums of a session that begins are empty.
void start_time(const Block& block, u8* session) {
  const Time& m = own<Time>(block);
  for (i32 at = 0; at < m.att_dim; at += SLICE) {
    const i32 n = min(SLICE, m.att_dim - at);
    f32* largest = m.sums(state_of(block, session), at) + 2 * i64{n};
    for (i32 c = 0; c < n; c++)
      largest[c] = NOTHING_YET;
  }
}

// n channels from `at` on, the tokens of a run in order; writes their part of the input of o.
void recur(const Batch& b, const Block& block, const Run& run, i32 at, i32 n) {
  const Time& m = own<Time>(block);
  const TimeWork& work = work_of<TimeWork>(block);
  f32* sums = m.sums(state_of(block, run.state), at);
  for (i32 token = run.first; token < run.first + run.count; token++) {
    f32 *r = work.r[token] + at, *y = b.input.row(token) + at;
    b.kernels.wkv4(work.k[token] + at, work.v[token] + at, m.bonus + at, m.rate + at, n, sums, y);
    b.kernels.sigmoid(r, nullptr, n, r);
    b.kernels.multiply(y, r, n, y);
  }
}

void run_time(const Block& block, Batch& b) {
  const Time& m = own<Time>(block);
  TimeWork& work = work_of<TimeWork>(block);
  project_shifted(b, block, work.shift, {{m.mix_r, &m.r, work.r}, {m.mix_k, &m.k, work.k}, {m.mix_v, &m.v, work.v}});
  quantise_slices(b, m.o, SLICE, [&](const Run& run, i32 at, i32 n) { recur(b, block, run, at, n); });
  project(b, m.o, b.branch);
}

struct Channel {
  const f32 *mix_r, *mix_k;  // (dim)
  Matrix r, k, v;            // (dim, dim), (ffn_dim, dim), (dim, ffn_dim)
  i32 dim, ffn_dim;
};

struct ChannelWork {
  Shift<2> shift;
  Rows r, k;  // (dim), (ffn_dim)

  ChannelWork(Arena& arena, const Channel& m, i32 tokens, i32)
      : shift(arena, tokens, m.dim), r(arena, tokens, m.dim), k(arena, tokens, m.ffn_dim) {}
};

Status load_channel(Layer& layer, Block* block) {
  Channel m = {};
  const i32 dim = m.dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("ffn_dim", 1, MAX_COLUMNS, &m.ffn_dim));
  EDGELLM_TRY(layer.required_norm("ffn_norm", dim, Norm::Kind::layer, &block->norm));
  EDGELLM_TRY(layer.bind({{"ffn_mix_r", dim, &m.mix_r},
                          {"ffn_mix_k", dim, &m.mix_k},
                          {"ffn_r", dim, dim, &m.r},
                          {"ffn_k", m.ffn_dim, dim, &m.k},
                          {"ffn_v", dim, m.ffn_dim, &m.v}}));
  layer.zero_codes = true;
  return place<ChannelWork>(layer, m, dim * i64{sizeof(f32)}, block);  // the shifted vector
}

void run_channel(const Block& block, Batch& b) {
  const Channel& m = own<Channel>(block);
  ChannelWork& work = work_of<ChannelWork>(block);
  project_shifted(b, block, work.shift, {{m.mix_r, &m.r, work.r}, {m.mix_k, &m.k, work.k}});
  quantise(b, m.v, [&](i32 token, f32* to) { b.kernels.relu2(work.k[token], m.ffn_dim, to); });
  count_zeros(b);
  project(b, m.v, b.branch);
  each_token(b, [&](i32 token) {
    b.kernels.sigmoid(work.r[token], nullptr, m.dim, work.r[token]);
    b.kernels.multiply(b.branch[token], work.r[token], m.dim, b.branch[token]);
  });
}

}  // namespace

const BlockKind rwkv4_time_block = {.name = "rwkv4_time", .load = load_time, .start = start_time, .run = run_time};
const BlockKind rwkv4_channel_block = {.name = "rwkv4_channel", .load = load_channel, .run = run_channel};

}  // namespace edgellm
