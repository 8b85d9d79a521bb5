// Activations to int8, symmetric (arithmetic: kernels.h).
#include "quantize.h"

namespace edgellm {
namespace {

constexpr f32 TOKEN_FLOOR = 1e-5f;
constexpr f32 GROUP_FLOOR = 1e-30f;

// Writes n values of q and no more.
void quantize(const f32* x, i32 n, f32 floor, i8* q, f32* scale, i32* sum) {
  f32 m = largest_magnitude(x, n, floor);
  const __m256 inverse = _mm256_set1_ps(127.0f / m);
  __m256i sums = _mm256_setzero_si256();
  for (i32 i = 0; i < n; i += 16) {
    __m128i bytes = quantize_sixteen(load_sixteen(x + i, n - i), inverse, &sums);
    if (n - i >= 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), bytes);
    } else {
      alignas(16) i8 part[16];
      _mm_store_si128(reinterpret_cast<__m128i*>(part), bytes);
      __builtin_memcpy(q + i, part, static_cast<size_t>(n - i));
    }
  }
  *scale = m / 127.0f;
  *sum = add_lanes(sums);
}

void quantize_token(const f32* x, i32 n, i32 padded, i8* q, f32* scale, i32* sum) {
  quantize(x, n, TOKEN_FLOOR, q, scale, sum);
  if (n < padded) __builtin_memset(q + n, 0, static_cast<size_t>(padded - n));
}

void quantize_group32(const f32* x, i32 n, i32 padded, i8* q, f32* scales, i32* sums) {
  i32 used = align_up(n, GROUP);
  for (i32 first = 0; first < n; first += GROUP) {
    i32 g = first / GROUP;
    quantize(x + first, min(n - first, GROUP), GROUP_FLOOR, q + first, scales + g, sums + g);
  }
  if (n < padded) __builtin_memset(q + n, 0, static_cast<size_t>(padded - n));
  for (i32 g = used / GROUP; g < padded / GROUP; g++) {
    scales[g] = 0;
    sums[g] = 0;
  }
}

}  // namespace

void avx2_quantize(Kernels& k) {
  k.quantize_token = quantize_token;
  k.quantize_group32 = quantize_group32;
}

}  // namespace edgellm
