// Quantisation of f32 to int8, shared by activations and the KV cache.
#pragma once
#include "vector.h"

namespace edgellm {
namespace {

// The largest |x|, at least `floor`; a NaN never wins.
inline f32 largest_magnitude(const f32* x, i32 n, f32 floor) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 most[2] = {_mm256_set1_ps(floor), _mm256_set1_ps(floor)};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    most[half] = _mm256_max_ps(_mm256_andnot_ps(sign, lanes.load(x + i)), most[half]);
  });
  return largest_lane(_mm256_max_ps(most[0], most[1]));
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

// The sum of eight int32.
inline i32 add_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_unpackhi_epi64(s, s));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 1));
  return _mm_cvtsi128_si32(s);
}

// The eight bytes of eight int32 in [-128, 127].
inline u64 narrow(__m256i integers) {
  __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(integers), _mm256_extracti128_si256(integers, 1));
  return static_cast<u64>(_mm_cvtsi128_si64(_mm_packs_epi16(words, words)));
}

// Calls body(i, bytes) with the int8 of x[i .. i + 8) for i = 0, 8, ... below n, zeros past n; the sum of all.
// |sum| <= 127 * 131072.
template <class Body>
inline i32 quantize_lanes(const f32* x, i32 n, f32 inverse, Body&& body) {
  const __m256 inverses = _mm256_set1_ps(inverse);
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    __m256i integers = round_lanes(lanes.load(x + i), inverses);
    sums[half] = _mm256_add_epi32(sums[half], integers);
    body(i, narrow(integers));
  });
  return add_lanes(_mm256_add_epi32(sums[0], sums[1]));
}

}  // namespace
}  // namespace edgellm
