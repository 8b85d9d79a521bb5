// Mamba-2: heads of channels that share one step size and one rate, and groups of heads that share input and output weights.
//
//   z, u, b, c, dt = Win rms(x)                               norm; one b and one c for each group of heads
//   u, b, c = silu(conv(u, b, c))                             each channel with its own last `taps` inputs
//   dt      = clamp(softplus(dt + dt_bias), dt_min, dt_max)   one for each head
//   for each head, its state S (states, head_dim): S = exp(dt rate) S + dt b u^T;  y = c^T S + skip u
//   branch  = Wout rms(y silu(z))                             gate_norm, over the part of each group
//
// Sources: Dao and Gu, "Transformers are SSMs" (arXiv:2405.21060), section 7; transformers' modeling_mamba2.py. The recurrence:
// `conv_silu` and `retain` in kernels.h.
#include "arch/conv.h"
#include "base/math.h"

namespace edgellm {

namespace {

struct Mamba2 {
  Matrix in;                         // (projected, dim)
  Conv conv;                         // (convolved)
  const f32 *dt_bias, *rate, *skip;  // (heads)
  Norm gate_norm;                    // (inner)
  Matrix out;                        // (dim, inner)
  i32 heads, head_dim, groups, states;
  f32 dt_min, dt_max;  // of the step size; 0 and infinity bound nothing

  i32 inner() const { return heads * head_dim; }
  i32 group_dim() const { return heads / groups * head_dim; }
  i32 convolved() const { return inner() + 2 * groups * states; }
  i32 projected() const { return inner() + convolved() + heads; }

  // State: that of the convolution, then the S of each head.
  i64 state_values() const { return conv.state_values() + i64{inner()} * states; }
  f32* head_state(f32* state, i32 head) const { return state + conv.state_values() + i64{head} * head_dim * states; }
};

struct Work {
  Rows all;  // z, u, b, c, dt (projected)
  Rows y;    // (inner)

  Work(Arena& arena, const Mamba2& m, i32 tokens, i32) : all(arena, tokens, m.projected()), y(arena, tokens, m.inner()) {}
};

Status read_shape(Layer& layer, Mamba2* m) {
  constexpr f32 LARGEST = 0x1.fffffep127f;
  EDGELLM_TRY(layer.number("heads", 1, MAX_HEADS, &m->heads));
  EDGELLM_TRY(layer.number("head_dim", 1, MAX_HEAD_DIM, &m->head_dim));
  EDGELLM_TRY(layer.number("groups", 1, MAX_HEADS, &m->groups));
  EDGELLM_TRY(layer.number("states", 1, MAX_STATES, &m->states));
  EDGELLM_TRY(layer.real_or("dt_min", 0, 0, LARGEST, &m->dt_min));
  EDGELLM_TRY(layer.real_or("dt_max", __builtin_inff(), m->dt_min, LARGEST, &m->dt_max));
  if (m->heads % m->groups) {
    return bad_model("metadata: ", m->heads, " heads are not a multiple of ", m->groups, " groups");
  }
  if (m->inner() > MAX_COLUMNS) {
    return bad_model("metadata: ", m->heads, " heads of ", m->head_dim, " are wider than ", MAX_COLUMNS);
  }
  return {};
}

Status load(Layer& layer, Block* block) {
  Mamba2 m = {};
  const i32 dim = layer.shape.dim;
  EDGELLM_TRY(read_shape(layer, &m));
  EDGELLM_TRY(layer.required_norm("norm", dim, Norm::Kind::rms, &block->norm));
  EDGELLM_TRY(layer.required_norm("gate_norm", m.inner(), Norm::Kind::rms, &m.gate_norm));
  EDGELLM_TRY(layer.bind({{"in", m.projected(), dim, &m.in},
                          {"dt_bias", m.heads, &m.dt_bias},
                          {"rate", m.heads, &m.rate},
                          {"skip", m.heads, &m.skip},
                          {"out", dim, m.inner(), &m.out}}));
  EDGELLM_TRY(m.conv.load(layer, m.convolved()));
  return place<Work>(layer, m, m.state_values() * i64{sizeof(f32)}, block);
}

// A step size that is not a number stays one: it reaches the residual stream, and the error names the layer.
f32 step_size(const Mamba2& m, f32 x) {
  const f32 dt = softplus32(x);
  return dt < m.dt_min ? m.dt_min : dt > m.dt_max ? m.dt_max : dt;
}

// y of one head, its tokens in order.
void recur(const Batch& b, const Block& block, const Run& run, i32 head) {
  const Mamba2& m = own<Mamba2>(block);
  const Work& work = work_of<Work>(block);
  const i32 group = head / (m.heads / m.groups), at = head * m.head_dim;
  f32* state = m.head_state(state_of(block, run.state), head);
  for (i32 token = run.first; token < run.first + run.count; token++) {
    const f32 *u = work.all[token] + m.inner(), *into = u + m.inner() + group * m.states;
    const f32 dt = step_size(m, u[m.convolved() + head] + m.dt_bias[head]);
    f32* y = work.y[token] + at;
    b.kernels.retain({.keys = m.states,
                      .values = m.head_dim,
                      .k = into,
                      .q = into + m.groups * m.states,
                      .v = u + at,
                      .decay = exp32(dt * m.rate[head]),
                      .scale = dt},
                     state, y);
    b.kernels.add_scaled(y, u + at, m.skip[head], m.head_dim);
  }
}

// rms(y silu(z)), the part of each group by itself.
void gate(const Batch& b, const Mamba2& m, const f32* z, f32* y, f32* to) {
  b.kernels.silu_gate(z, y, m.inner(), y);
  for (i32 at = 0; at < m.inner(); at += m.group_dim())
    b.kernels.rms_norm(y + at, m.gate_norm.weight + at, m.gate_norm.eps, m.group_dim(), to + at);
}

void run(const Block& block, Batch& b) {
  const Mamba2& m = own<Mamba2>(block);
  const Work& work = work_of<Work>(block);
  open(b, block, m.in);
  project(b, m.in, work.all);
  convolve(b, block, m.conv, {work.all.data + m.inner(), work.all.stride});
  each_slice(b, m.inner(), m.head_dim, [&](const Run& run, i32 at, i32 n) { recur(b, block, run, at / n); });
  quantise(b, m.out, [&](i32 token, f32* to) { gate(b, m, work.all[token], work.y[token], to); });
  project(b, m.out, b.branch);
}

}  // namespace

const BlockKind mamba2_block = {.name = "mamba2", .load = load, .run = run};

}  // namespace edgellm
