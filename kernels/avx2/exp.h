// base/math.h's exp32 in eight lanes: the same steps, the same bits.
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

inline __m256 exp_lanes(__m256 x) {
  using namespace exp_constants;
  const __m256 round = _mm256_set1_ps(ROUND_F32), one = _mm256_set1_ps(1.0f);
  __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(LOG2E), round);
  __m256 n = _mm256_sub_ps(shifted, round);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-LN2_HIGH), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-LN2_LOW), r);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(C4), r, _mm256_set1_ps(C3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C0));
  p = _mm256_fmadd_ps(p, r, one);
  p = _mm256_fmadd_ps(p, r, one);
  __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  y = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(LOW), _CMP_LT_OQ), y);
  y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY_F32), _mm256_cmp_ps(x, _mm256_set1_ps(HIGH), _CMP_GT_OQ));
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

}  // namespace
}  // namespace edgellm
