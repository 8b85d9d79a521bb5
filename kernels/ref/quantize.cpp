// Activations to int8, symmetric: one scale for the vector (BitNet b1.58, "The Era of 1-bit LLMs", 2024) or one per 32.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static constexpr f32 TOKEN_FLOOR = 1e-5f;
static constexpr f32 GROUP_FLOOR = 1e-30f;

static void quantize(const f32* x, i32 n, f32 floor, i8* q, f32* scale, i32* sum) {
  f32 m = floor;
  for (i32 i = 0; i < n; i++) {
    f32 magnitude = abs32(x[i]);
    m = magnitude > m ? magnitude : m;
  }
  f32 inverse = 127.0f / m;
  i32 total = 0;  // |total| <= 127 * 131072
  for (i32 i = 0; i < n; i++) {
    f32 t = x[i] * inverse;
    t = t > 127.0f ? 127.0f : t;
    t = t < -127.0f ? -127.0f : t;
    i32 integer = t != t ? 0 : round_half_even(t);
    q[i] = static_cast<i8>(integer);
    total += integer;
  }
  *scale = m / 127.0f;
  *sum = total;
}

static void quantize_token(const f32* x, i32 n, i32 padded, i8* q, f32* scale, i32* sum) {
  quantize(x, n, TOKEN_FLOOR, q, scale, sum);
  for (i32 i = n; i < padded; i++)
    q[i] = 0;
}

static void quantize_group32(const f32* x, i32 n, i32 padded, i8* q, f32* scales, i32* sums) {
  for (i32 first = 0, g = 0; first < padded; first += GROUP, g++) {
    i32 count = max(min(n - first, GROUP), 0);
    scales[g] = 0;
    sums[g] = 0;
    if (count > 0) quantize(x + first, count, GROUP_FLOOR, q + first, scales + g, sums + g);
    for (i32 i = first + count; i < first + GROUP; i++)
      q[i] = 0;
  }
}

void ref_quantize(Kernels& k) {
  k.quantize_token = quantize_token;
  k.quantize_group32 = quantize_group32;
}

}  // namespace edgellm
