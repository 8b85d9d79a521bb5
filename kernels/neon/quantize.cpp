// Activations to int8. |x * (127 / m)| <= 127 + 127 * 2^-22 for |x| <= m, which rounds into [-127, 127]: no clamp is needed.
// FCVTNS rounds half to even and gives 0 for NaN, be it in x or from infinity * 0.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

constexpr f32 TOKEN_FLOOR = 1e-5f;
constexpr f32 GROUP_FLOOR = 1e-30f;

f32 largest(const f32* x, i32 n, f32 floor) {
  Lanes m = all16(floor);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    for (i32 k = 0; k < QUADS; k++)
      m.quad[k] = greater(vabsq_f32(vld1q_f32(x + i + 4 * k)), m.quad[k]);
  }
  float32x4_t four = greater(greater(m.quad[0], m.quad[1]), greater(m.quad[2], m.quad[3]));
  f32 result = vmaxvq_f32(four);  // NaN never came in, so this maximum is exact too
  for (; i < n; i++)
    result = abs32(x[i]) > result ? abs32(x[i]) : result;
  return result;
}

void quantize(const f32* x, i32 n, f32 floor, i8* q, f32* scale, i32* sum) {
  f32 m = largest(x, n, floor), inverse = 127.0f / m;
  int32x4_t sums = vdupq_n_s32(0);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    int32x4_t wide[QUADS];
    for (i32 k = 0; k < QUADS; k++)
      wide[k] = vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + i + 4 * k), inverse));
    int16x8_t low = vcombine_s16(vmovn_s32(wide[0]), vmovn_s32(wide[1]));
    int16x8_t high = vcombine_s16(vmovn_s32(wide[2]), vmovn_s32(wide[3]));
    vst1q_s8(q + i, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
    sums = vpadalq_s16(sums, vaddq_s16(low, high));
  }
  i32 total = vaddvq_s32(sums);
  for (; i < n; i++) {
    i32 integer = vcvtns_s32_f32(x[i] * inverse);
    q[i] = static_cast<i8>(integer);
    total += integer;
  }
  *scale = m / 127.0f;
  *sum = total;
}

void quantize_token(const f32* x, i32 n, i32 padded, i8* q, f32* scale, i32* sum) {
  quantize(x, n, TOKEN_FLOOR, q, scale, sum);
  for (i32 i = n; i < padded; i++)
    q[i] = 0;
}

void quantize_group32(const f32* x, i32 n, i32 padded, i8* q, f32* scales, i32* sums) {
  i32 g = 0;
  for (; n - g * GROUP >= GROUP; g++)
    quantize(x + g * GROUP, GROUP, GROUP_FLOOR, q + g * GROUP, scales + g, sums + g);
  for (i32 i = max(n, g * GROUP); i < padded; i++)
    q[i] = 0;
  if (g * GROUP < n) {
    quantize(x + g * GROUP, n - g * GROUP, GROUP_FLOOR, q + g * GROUP, scales + g, sums + g);
    g++;
  }
  for (; g * GROUP < padded; g++) {
    scales[g] = 0;
    sums[g] = 0;
  }
}

}  // namespace

void neon_quantize(Kernels& k) {
  k.quantize_token = quantize_token;
  k.quantize_group32 = quantize_group32;
}

}  // namespace edgellm
