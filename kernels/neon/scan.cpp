// The recurrences of Mamba, Mamba-2 and RetNet, one token: lanes are channels or the values of a head.
#include "functions.h"

namespace edgellm {
namespace {

void conv_silu(const Convolution& w, const f32* x, f32* state, f32* y) {
  const float32x4_t one = vdupq_n_f32(1.0f);
  for (i32 i = 0; i < w.n; i += 4) {
    const i32 left = w.n - i;
    const float32x4_t newest = load4(x + i, left);
    float32x4_t sum = w.bias ? load4(w.bias + i, left) : vdupq_n_f32(0.0f);
    for (i32 t = 0; t + 1 < w.taps; t++) {
      const float32x4_t past = load4(state + t * i64{w.n} + i, left);
      sum = vfmaq_f32(sum, load4(w.weight + t * w.stride + i, left), past);
      if (t > 0) store4(state + (t - 1) * i64{w.n} + i, past, left);
    }
    sum = vfmaq_f32(sum, load4(w.weight + (w.taps - 1) * w.stride + i, left), newest);
    if (w.taps > 1) store4(state + (w.taps - 2) * i64{w.n} + i, newest, left);
    store4(y + i, vdivq_f32(sum, vaddq_f32(one, exp4(vnegq_f32(sum)))), left);
  }
}

void scan(const Scan& s, f32* state, f32* y) {
  for (i32 i = 0; i < s.n; i += 4) {
    const i32 left = s.n - i;
    const float32x4_t dt = load4(s.dt + i, left), x = load4(s.x + i, left), grown = vmulq_f32(dt, x);
    float32x4_t sum = vdupq_n_f32(0.0f);
    for (i32 j = 0; j < s.states; j++) {
      f32* to = state + j * i64{s.n} + i;
      const float32x4_t decay = exp4(vmulq_f32(dt, load4(s.rate + j * s.stride + i, left)));
      const float32x4_t h = vfmaq_n_f32(vmulq_f32(load4(to, left), decay), grown, s.b[j]);
      store4(to, h, left);
      sum = vfmaq_n_f32(sum, h, s.c[j]);
    }
    store4(y + i, vfmaq_f32(sum, load4(s.skip + i, left), x), left);
  }
}

// Q quads of values from `i` on.
template <i32 Q>
[[gnu::always_inline]] inline void step(const Retention& r, i32 i, f32* state, f32* y) {
  const i32 left = Q == QUADS ? 4 : r.values - i;  // lanes of a quad that are there
  float32x4_t value[Q], sum[Q] = {};
  unrolled<Q>([&](auto q) { value[q] = load4(r.v + i + 4 * q, left); });
  f32* row = state + i;
  for (i32 j = 0; j < r.keys; j++, row += r.values) {
    const f32 key = r.k[j] * r.scale;
    unrolled<Q>([&](auto q) {
      float32x4_t s = vmulq_n_f32(load4(row + 4 * q, left), r.decay);
      s = vfmaq_n_f32(s, value[q], key);
      store4(row + 4 * q, s, left);
      sum[q] = vfmaq_n_f32(sum[q], s, r.q[j]);
    });
  }
  unrolled<Q>([&](auto q) { store4(y + i + 4 * q, sum[q], left); });
}

void retain(const Retention& r, f32* state, f32* y) {
  i32 i = 0;
  for (; r.values - i >= PANEL; i += PANEL)
    step<QUADS>(r, i, state, y);
  for (; i < r.values; i += 4)
    step<1>(r, i, state, y);
}

}  // namespace

void neon_scan(Kernels& k) {
  k.conv_silu = conv_silu;
  k.scan = scan;
  k.retain = retain;
}

}  // namespace edgellm
