// Mamba: a state space for each channel, whose step size, input and output depend on the token ("selective").
//
//   u, z    = Win rms(x)                                        norm
//   u       = silu(conv(u))                                     each channel with its own last `taps` inputs
//   t, b, c = Wselect u
//   dt      = softplus(Wdt t + dt_bias)
//   for each channel, its state h (states): h = exp(dt rate) h + dt u b;  y = h . c + skip u
//   branch  = Wout (y silu(z))
//
// Sources: Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces" (arXiv:2312.00752), algorithm 2;
// transformers' modeling_mamba.py. The recurrence: `conv_silu` and `scan` in kernels.h.
#include "arch/conv.h"

namespace edgellm {

namespace {

constexpr i32 SLICE = 128;  // channels that one thread takes

struct Mamba {
  Matrix in;                         // (2 * inner, dim)
  Conv conv;                         // (inner)
  Matrix select;                     // (rank + 2 * states, inner)
  Matrix dt;                         // (inner, rank)
  const f32 *dt_bias, *rate, *skip;  // (inner), (states, inner), (inner)
  Matrix out;                        // (dim, inner)
  i32 inner, states, rank;

  i32 selected() const { return rank + 2 * states; }

  // State: that of the convolution, then (states, channels) for each slice of channels.
  i64 state_values() const { return conv.state_values() + i64{states} * inner; }
  f32* states_of(f32* state, i32 channel) const { return state + conv.state_values() + i64{states} * channel; }
};

struct Work {
  Rows both;      // u, then z (2 * inner)
  Rows selected;  // t, b, c (rank + 2 * states)
  Rows dt;        // (inner)

  Work(Arena& arena, const Mamba& m, i32 tokens, i32)
      : both(arena, tokens, 2 * m.inner), selected(arena, tokens, m.selected()), dt(arena, tokens, m.inner) {}
};

Status load(Layer& layer, Block* block) {
  Mamba m = {};
  const i32 dim = layer.shape.dim;
  EDGELLM_TRY(layer.number("inner", 1, MAX_COLUMNS, &m.inner));
  EDGELLM_TRY(layer.number("states", 1, MAX_STATES, &m.states));
  EDGELLM_TRY(layer.number("rank", 1, MAX_COLUMNS, &m.rank));
  EDGELLM_TRY(layer.required_norm("norm", dim, Norm::Kind::rms, &block->norm));
  EDGELLM_TRY(layer.bind({{"in", 2 * m.inner, dim, &m.in},
                          {"select", m.selected(), m.inner, &m.select},
                          {"dt", m.inner, m.rank, &m.dt},
                          {"dt_bias", m.inner, &m.dt_bias},
                          {"rate", m.states * m.inner, &m.rate},
                          {"skip", m.inner, &m.skip},
                          {"out", dim, m.inner, &m.out}}));
  EDGELLM_TRY(m.conv.load(layer, m.inner));
  return place<Work>(layer, m, m.state_values() * i64{sizeof(f32)}, block);
}

// y silu(z) of n channels from `at` on, the tokens of a run in order: their part of the input of `out`.
void recur(const Batch& b, const Block& block, const Run& run, i32 at, i32 n) {
  const Mamba& m = own<Mamba>(block);
  const Work& work = work_of<Work>(block);
  f32* states = m.states_of(state_of(block, run.state), at);
  for (i32 token = run.first; token < run.first + run.count; token++) {
    f32 *u = work.both[token] + at, *dt = work.dt[token] + at, *y = b.input.row(token) + at;
    const f32 *z = u + m.inner, *into = work.selected[token] + m.rank;  // b of the equations; c follows
    b.kernels.softplus(dt, m.dt_bias + at, n, dt);
    b.kernels.scan({.n = n,
                    .states = m.states,
                    .stride = m.inner,
                    .rate = m.rate + at,
                    .skip = m.skip + at,
                    .x = u,
                    .dt = dt,
                    .b = into,
                    .c = into + m.states},
                   states, y);
    b.kernels.silu_gate(z, y, n, y);
  }
}

void run(const Block& block, Batch& b) {
  const Mamba& m = own<Mamba>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, m.in);
  project(b, m.in, work.both);
  convolve(b, block, m.conv, work.both);
  quantise(b, m.select, NO_NORM, work.both);
  project(b, m.select, work.selected);
  quantise(b, m.dt, NO_NORM, work.selected);
  project(b, m.dt, work.dt);
  quantise_slices(b, m.out, SLICE, [&](const Run& run, i32 at, i32 n) { recur(b, block, run, at, n); });
  project(b, m.out, b.branch);
}

}  // namespace

const BlockKind mamba_block = {.name = "mamba", .load = load, .run = run};

}  // namespace edgellm
