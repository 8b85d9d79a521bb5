// Softmax in place: maximum, then exp and its sum in 16 lanes, then one multiplication each.
#include "functions.h"

namespace edgellm {
namespace {

// By a > b ? a : b from -infinity; a NaN never wins.
f32 largest(const f32* x, i32 n) {
  Lanes m = all16(-INFINITY_F32);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    for (i32 k = 0; k < QUADS; k++)
      m.quad[k] = greater(vld1q_f32(x + i + 4 * k), m.quad[k]);
  }
  float32x4_t four = greater(greater(m.quad[0], m.quad[1]), greater(m.quad[2], m.quad[3]));
  f32 result = vmaxvq_f32(four);  // no NaN came in
  for (; i < n; i++)
    result = x[i] > result ? x[i] : result;
  return result;
}

void softmax(f32* x, i32 n) {
  const float32x4_t m = vdupq_n_f32(largest(x, n));
  Lanes sums = all16(0);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    for (i32 k = 0; k < QUADS; k++) {
      float32x4_t e = exp4(vsubq_f32(vld1q_f32(x + i + 4 * k), m));
      vst1q_f32(x + i + 4 * k, e);
      sums.quad[k] = vaddq_f32(sums.quad[k], e);
    }
  }
  if (i < n) {
    f32 last[PANEL] = {}, lanes[PANEL];
    for (i32 k = 0; k < n - i; k++)
      last[k] = x[i + k];
    for (i32 k = 0; k < QUADS; k++)
      vst1q_f32(last + 4 * k, exp4(vsubq_f32(vld1q_f32(last + 4 * k), m)));
    store16(lanes, sums);
    for (i32 k = 0; k < n - i; k++) {
      x[i + k] = last[k];
      lanes[k] = lanes[k] + last[k];
    }
    sums = load16(lanes);
  }
  const f32 inverse = 1.0f / fold16(sums);
  for (i = 0; n - i >= 4; i += 4)
    vst1q_f32(x + i, vmulq_n_f32(vld1q_f32(x + i), inverse));
  for (; i < n; i++)
    x[i] = x[i] * inverse;
}

}  // namespace

void neon_softmax(Kernels& k) {
  k.softmax = softmax;
}

}  // namespace edgellm
