// Quantisation of f32 to int8, shared by activations and the KV cache.
#pragma once
#include "vector.h"

namespace edgellm {
namespace {

// The largest |x|, at least `floor`; a NaN never wins.
inline f32 largest_magnitude(const f32* x, i32 n, f32 floor) {
  __m512 most = _mm512_set1_ps(floor);
  for_lanes(n,
            [&](i32 i, __mmask16 mask) { most = _mm512_max_ps(_mm512_abs_ps(_mm512_maskz_loadu_ps(mask, x + i)), most); });
  return _mm512_reduce_max_ps(most);
}

// Calls body(i, mask, bytes) with the int8 of x[i .. i + 16) for i = 0, 16, ... below n, zeros past n; the sum of all.
// x * inverse to the nearest integer, half to even, in [-127, 127]; NaN to 0. |sum| <= 127 * 131072.
template <class Body>
inline i32 quantize_lanes(const f32* x, i32 n, f32 inverse, Body&& body) {
  const __m512 inverses = _mm512_set1_ps(inverse), most = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
  __m512i sums = _mm512_setzero_si512();
  for_lanes(n, [&](i32 i, __mmask16 mask) {
    __m512 t = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverses);
    t = _mm512_max_ps(least, _mm512_min_ps(most, t));  // these keep a NaN
    __m512i integers = _mm512_maskz_cvtps_epi32(_mm512_cmp_ps_mask(t, t, _CMP_ORD_Q), t);
    sums = _mm512_add_epi32(sums, integers);
    body(i, mask, _mm512_cvtepi32_epi8(integers));
  });
  return _mm512_reduce_add_epi32(sums);
}

}  // namespace
}  // namespace edgellm
