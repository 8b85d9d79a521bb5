// Activations to int8, symmetric (arithmetic: kernels.h).
#include "quantize.h"

namespace edgellm {
namespace {

constexpr f32 TOKEN_FLOOR = 1e-5f;
constexpr f32 GROUP_FLOOR = 1e-30f;

void quantize(const f32* x, i32 n, f32 floor, i8* q, f32* scale, i32* sum) {
  f32 m = largest_magnitude(x, n, floor);
  *sum = quantize_lanes(x, n, 127.0f / m,
                        [&](i32 i, __mmask16 mask, __m128i bytes) { _mm_mask_storeu_epi8(q + i, mask, bytes); });
  *scale = m / 127.0f;
}

void quantize_token(const f32* x, i32 n, i32 padded, i8* q, f32* scale, i32* sum) {
  quantize(x, n, TOKEN_FLOOR, q, scale, sum);
  if (n < padded) __builtin_memset(q + n, 0, static_cast<size_t>(padded - n));
}

void quantize_group32(const f32* x, i32 n, i32 padded, i8* q, f32* scales, i32* sums) {
  for (i32 first = 0; first < n; first += GROUP) {
    i32 g = first / GROUP;
    quantize(x + first, min(n - first, GROUP), GROUP_FLOOR, q + first, scales + g, sums + g);
  }
  if (n < padded) __builtin_memset(q + n, 0, static_cast<size_t>(padded - n));
  for (i32 g = div_up(n, GROUP); g < padded / GROUP; g++) {
    scales[g] = 0;
    sums[g] = 0;
  }
}

}  // namespace

void avx512_quantize(Kernels& k) {
  k.quantize_token = quantize_token;
  k.quantize_group32 = quantize_group32;
}

}  // namespace edgellm
