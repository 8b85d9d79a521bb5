// Golden digests of what recurrent models add.
#include "golden_run.h"

namespace edgellm {

void golden_mix(GoldenRun& run) {
  f32 *x = run.floats(N), *other = run.floats(N), *share = run.floats(N), *y = run.zeros(N);
  run.k.mix(x, other, share, N, y);
  run.add(y, N);
}

void golden_multiply(GoldenRun& run) {
  golden_pairs(run, run.k.multiply);
}

void golden_add_scaled(GoldenRun& run) {
  f32 *x = run.floats(N), *y = run.floats(N);
  run.k.add_scaled(x, y, 0.7f, N);
  run.add(x, N);
}

static void run_biased(GoldenRun& run, void (*slot)(const f32*, const f32*, i32, f32*)) {
  for (Fill fill : FILLS) {
    f32 *x = run.floats(N, fill), *bias = run.floats(N), *y = run.zeros(N);
    slot(x, nullptr, N, y);
    run.add(y, N);
    slot(x, bias, N, y);
    run.add(y, N);
  }
}

void golden_sigmoid(GoldenRun& run) {
  run_biased(run, run.k.sigmoid);
}

void golden_softplus(GoldenRun& run) {
  run_biased(run, run.k.softplus);
}

static void run_elementwise(GoldenRun& run, void (*slot)(const f32*, i32, f32*)) {
  for (Fill fill : FILLS) {
    f32 *x = run.floats(N, fill), *y = run.zeros(N);
    slot(x, N, y);
    run.add(y, N);
  }
}

void golden_tanh(GoldenRun& run) {
  run_elementwise(run, run.k.tanh);
}

void golden_relu2(GoldenRun& run) {
  run_elementwise(run, run.k.relu2);
}

void golden_gelu(GoldenRun& run) {
  run_elementwise(run, run.k.gelu);
}

void golden_wkv4(GoldenRun& run) {
  const f32 *bonus = run.floats(N), *rate = run.floats(N);
  f32 *state = run.floats(3 * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    const f32 *k = run.floats(N), *v = run.floats(N);
    run.k.wkv4(k, v, bonus, rate, N, state, y);
    run.add(y, N);
  }
  run.add(state, 3 * N);
}

void golden_wkv7(GoldenRun& run) {
  for (i32 n = 5; n <= 64; n += 59) {
    f32 *state = run.floats(n * n), *y = run.zeros(n);
    Wkv7 h = {.n = n,
              .r = {},
              .w = {},
              .k = {},
              .v = {},
              .a = {},
              .k_k = run.floats(n),
              .k_a = run.floats(n),
              .r_k = run.floats(n)};
    for (i32 step = 0; step < 3; step++) {
      h.r = run.floats(n), h.w = run.floats(n), h.k = run.floats(n), h.v = run.floats(n), h.a = run.floats(n);
      f32 bonus = run.k.wkv7(h, state, y);
      run.add(y, n);
      run.add(&bonus, 1);
    }
    run.add(state, n * n);
  }
}

void golden_conv_silu(GoldenRun& run) {
  for (i32 taps = 1; taps <= 4; taps++) {
    const f32 *weight = run.floats(taps * STRIDE), *bias = run.floats(N);
    f32 *state = run.floats(3 * N), *y = run.zeros(N);
    for (i32 step = 0; step < 5; step++) {
      run.k.conv_silu({N, taps, STRIDE, weight, step < 4 ? bias : nullptr}, run.floats(N), state, y);
      run.add(y, N);
    }
    run.add(state, 3 * N);
  }
}

void golden_scan(GoldenRun& run) {
  constexpr i32 STATES = 5;
  f32 *rate = run.floats(STATES * STRIDE), *dt = run.zeros(N);
  for (i32 i = 0; i < STATES * STRIDE; i++)
    rate[i] = -abs32(rate[i]);
  const f32* skip = run.floats(N);
  f32 *state = run.floats(STATES * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    for (i32 i = 0; i < N; i++)
      dt[i] = abs32(run.ordinary()) * 0x1p-3f;
    const f32 *x = run.floats(N), *b = run.floats(STATES), *c = run.floats(STATES);
    run.k.scan({N, STATES, STRIDE, rate, skip, x, dt, b, c}, state, y);
    run.add(y, N);
  }
  run.add(state, STATES * N);
}

void golden_retain(GoldenRun& run) {
  constexpr i32 KEYS = 7;
  f32 *state = run.floats(KEYS * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    const f32 *k = run.floats(KEYS), *q = run.floats(KEYS), *v = run.floats(N);
    run.k.retain({KEYS, N, k, q, v, 0.9f, 0.3f}, state, y);
    run.add(y, N);
  }
  run.add(state, KEYS * N);
}

}  // namespace edgellm
