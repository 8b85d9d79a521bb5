// e^x in four lanes, step for step as exp32 in base/math.h.
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {

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
  float32x4_t y =
      vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(p), vshlq_n_s32(vreinterpretq_s32_f32(shifted), 23)));
  y = vbslq_f32(vcltq_f32(x, vdupq_n_f32(LOW)), vdupq_n_f32(0.0f), y);
  y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(HIGH)), vdupq_n_f32(INFINITY_F32), y);
  return vbslq_f32(vceqq_f32(x, x), y, x);
}

}  // namespace edgellm
