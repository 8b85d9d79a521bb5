// Functions of base/math.h in four lanes, step for step, and the ends of vectors that are no multiple of four.
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {

// x for NaN, else y.
static inline float32x4_t keep_nan(float32x4_t x, float32x4_t y) {
  return vbslq_f32(vceqq_f32(x, x), y, x);
}

// e^x.
static inline float32x4_t exp4(float32x4_t x) {
  using namespace exp_constants;
  const float32x4_t round = vdupq_n_f32(ROUND_F32), one = vdupq_n_f32(1.0f);
  float32x4_t shifted = vfmaq_f32(round, x, vdupq_n_f32(LOG2E));
  float32x4_t n = vsubq_f32(shifted, round);
  float32x4_t r = vfmaq_f32(x, n, vdupq_n_f32(-LN2_HIGH));
  r = vfmaq_f32(r, n, vdupq_n_f32(-LN2_LOW));
  float32x4_t p = vfmaq_f32(vdupq_n_f32(C3), vdupq_n_f32(C4), r);
  p = vfmaq_f32(vdupq_n_f32(C2), p, r);
  p = vfmaq_f32(vdupq_n_f32(C1), p, r);
  p = vfmaq_f32(vdupq_n_f32(C0), p, r);
  p = vfmaq_f32(one, p, r);
  p = vfmaq_f32(one, p, r);
  const uint32x4_t exponent = vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23);  // wraps where the result is not used
  float32x4_t y = vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(p), exponent));
  y = vbslq_f32(vcltq_f32(x, vdupq_n_f32(LOW)), vdupq_n_f32(0.0f), y);
  y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(HIGH)), vdupq_n_f32(INFINITY_F32), y);
  return keep_nan(x, y);
}

// 1 / (1 + e^-x).
static inline float32x4_t sigmoid4(float32x4_t x) {
  const float32x4_t one = vdupq_n_f32(1.0f);
  return vdivq_f32(one, vaddq_f32(one, exp4(vnegq_f32(x))));
}

// ln(1 + e^x).
static inline float32x4_t softplus4(float32x4_t x) {
  using namespace log1p_constants;
  const float32x4_t u = exp4(vnegq_f32(vabsq_f32(x)));
  const float32x4_t s = vdivq_f32(u, vaddq_f32(vdupq_n_f32(2.0f), u)), t = vmulq_f32(s, s);
  float32x4_t p = vfmaq_f32(vdupq_n_f32(C3), vdupq_n_f32(C4), t);
  p = vfmaq_f32(vdupq_n_f32(C2), p, t);
  p = vfmaq_f32(vdupq_n_f32(C1), p, t);
  p = vfmaq_f32(vdupq_n_f32(C0), p, t);
  const float32x4_t twice = vaddq_f32(s, s), log1p = vfmaq_f32(twice, vmulq_f32(twice, t), p);
  return keep_nan(x, vaddq_f32(greater(x, vdupq_n_f32(0.0f)), log1p));
}

static inline float32x4_t tanh4(float32x4_t x) {
  using namespace tanh_constants;
  const float32x4_t magnitude = vabsq_f32(x), t = vmulq_f32(x, x), one = vdupq_n_f32(1.0f);
  float32x4_t p = vfmaq_f32(vdupq_n_f32(C3), vdupq_n_f32(C4), t);
  p = vfmaq_f32(vdupq_n_f32(C2), p, t);
  p = vfmaq_f32(vdupq_n_f32(C1), p, t);
  p = vfmaq_f32(vdupq_n_f32(C0), p, t);
  const float32x4_t small = vfmaq_f32(x, vmulq_f32(x, t), p);
  float32x4_t large = vdivq_f32(vdupq_n_f32(2.0f), vaddq_f32(exp4(vaddq_f32(magnitude, magnitude)), one));
  large = vbslq_f32(vdupq_n_u32(0x80000000u), x, vsubq_f32(one, large));
  return keep_nan(x, vbslq_f32(vcltq_f32(magnitude, vdupq_n_f32(SMALL)), small, large));
}

// The first `n` of four elements, +0 after them; four when n is more.
static inline float32x4_t load4(const f32* x, i32 n) {
  if (n >= 4) return vld1q_f32(x);
  f32 part[4] = {};
  for (i32 i = 0; i < n; i++)
    part[i] = x[i];
  return vld1q_f32(part);
}

static inline void store4(f32* y, float32x4_t x, i32 n) {
  if (n >= 4) return vst1q_f32(y, x);
  f32 part[4];
  vst1q_f32(part, x);
  for (i32 i = 0; i < n; i++)
    y[i] = part[i];
}

}  // namespace edgellm
