// Quantisation of f32 to int8 in steps of 16 values, shared by activations and the KV cache.
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

// 16 values from x, zeros from `n` on.
struct Sixteen {
  __m256 low, high;
};

inline Sixteen load_sixteen(const f32* x, i32 n) {
  if (n >= 16) return {_mm256_loadu_ps(x), _mm256_loadu_ps(x + HALF)};
  alignas(32) f32 part[16] = {};
  for (i32 i = 0; i < n; i++)
    part[i] = x[i];
  return {_mm256_load_ps(part), _mm256_load_ps(part + HALF)};
}

// The largest |x|, at least `floor`; a NaN never wins.
inline f32 largest_magnitude(const f32* x, i32 n, f32 floor) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 low = _mm256_set1_ps(floor), high = low;
  for (i32 i = 0; i < n; i += 16) {
    Sixteen v = load_sixteen(x + i, n - i);
    low = _mm256_max_ps(_mm256_andnot_ps(sign, v.low), low);
    high = _mm256_max_ps(_mm256_andnot_ps(sign, v.high), high);
  }
  low = _mm256_max_ps(low, high);
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(low), _mm256_extractf128_ps(low, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  m = _mm_max_ps(m, _mm_movehdup_ps(m));
  return _mm_cvtss_f32(m);
}

// x * inverse to the nearest integer, half to even, in [-127, 127]; NaN to 0.
inline __m256i round_lanes(__m256 x, __m256 inverse) {
  const __m256 limit = _mm256_set1_ps(127.0f), negative = _mm256_set1_ps(-127.0f);
  __m256 t = _mm256_mul_ps(x, inverse);
  t = _mm256_min_ps(limit, t);  // these keep a NaN
  t = _mm256_max_ps(negative, t);
  __m256i integers = _mm256_cvtps_epi32(t);
  return _mm256_and_si256(integers, _mm256_castps_si256(_mm256_cmp_ps(t, t, _CMP_ORD_Q)));
}

// 16 values to 16 int8; adds them to `sums`.
inline __m128i quantize_sixteen(Sixteen v, __m256 inverse, __m256i* sums) {
  __m256i low = round_lanes(v.low, inverse), high = round_lanes(v.high, inverse);
  *sums = _mm256_add_epi32(*sums, _mm256_add_epi32(low, high));
  __m256i words = _mm256_packs_epi32(low, high);  // 0-3 8-11 4-7 12-15
  words = _mm256_permute4x64_epi64(words, 0xd8);
  return _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// The sum of eight int32.
inline i32 add_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 1));
  return _mm_cvtsi128_si32(s);
}

}  // namespace
}  // namespace edgellm
