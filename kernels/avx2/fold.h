// Sums of 16 lanes: two registers while streaming, memory for the tail, then the fold.
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

inline void spread(__m256 low, __m256 high, f32* lanes) {
  _mm256_storeu_ps(lanes, low);
  _mm256_storeu_ps(lanes + HALF, high);
}

// Lane l += lane l + 8, then 4, 2, 1.
inline f32 fold(const f32* lanes) {
  __m256 eight = _mm256_add_ps(_mm256_loadu_ps(lanes), _mm256_loadu_ps(lanes + HALF));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

inline f32 root(f32 x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

}  // namespace
}  // namespace edgellm
