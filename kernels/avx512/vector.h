// f32 vectors of any length, 16 lanes at a time.
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

// Calls body(i, mask) for i = 0, 16, ... below n; the mask leaves out the lanes past the end.
template <class Body>
inline void for_lanes(i32 n, Body&& body) {
  i32 i = 0;
  for (; i + PANEL <= n; i += PANEL)
    body(i, __mmask16{0xffff});
  if (i < n) body(i, static_cast<__mmask16>((1u << (n - i)) - 1));
}

// The sum of 16 lanes: lane l += lane l + 8, then 4, 2, 1.
inline f32 fold(__m512 lanes) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// base/math.h's exp32 in 16 lanes: the same steps, the same bits.
inline __m512 exp_lanes(__m512 x) {
  using namespace exp_constants;
  const __m512 round = _mm512_set1_ps(ROUND_F32), one = _mm512_set1_ps(1.0f);
  __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(LOG2E), round);
  __m512 n = _mm512_sub_ps(shifted, round);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(-LN2_HIGH), x);
  r = _mm512_fmadd_ps(n, _mm512_set1_ps(-LN2_LOW), r);
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(C4), r, _mm512_set1_ps(C3));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(C2));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(C1));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(C0));
  p = _mm512_fmadd_ps(p, r, one);
  p = _mm512_fmadd_ps(p, r, one);
  __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  __m512 y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(LOW), _CMP_LT_OQ), _mm512_setzero_ps());
  y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(HIGH), _CMP_GT_OQ), _mm512_set1_ps(INFINITY_F32));
  return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}

}  // namespace
}  // namespace edgellm
