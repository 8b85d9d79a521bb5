// One answer from a vector: the largest value's index, and whether all is finite.
#include "vector.h"

namespace edgellm {
namespace {

// The first that equals the largest; NaN equals nothing.
i32 argmax(const f32* x, i32 n) {
  const __m256 least = _mm256_set1_ps(-INFINITY_F32);
  __m256 most[2] = {least, least};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    most[half] = _mm256_max_ps(lanes.load_or(x + i, least), most[half]);  // a NaN never wins
  });
  f32 best = largest_lane(_mm256_max_ps(most[0], most[1]));
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    i32 equal = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(best), _CMP_EQ_OQ));
    if (equal) return i + __builtin_ctz(static_cast<u32>(equal));
  }
  for (; i < n; i++) {
    if (x[i] == best) return i;
  }
  return -1;
}

bool all_finite(const f32* x, i32 n) {
  const __m256 sign = _mm256_set1_ps(-0.0f), infinity = _mm256_set1_ps(INFINITY_F32);
  __m256 finite = _mm256_castsi256_ps(_mm256_set1_epi32(-1));
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 magnitude = _mm256_andnot_ps(sign, lanes.load(x + i));
    finite = _mm256_and_ps(finite, _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ));
  });
  return _mm256_movemask_ps(finite) == 0xff;
}

}  // namespace

void avx2_reduce(Kernels& k) {
  k.argmax = argmax;
  k.all_finite = all_finite;
}

}  // namespace edgellm
