// One answer from a vector: the largest value's index, and whether all is finite.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

// -infinity when nothing but NaN is there.
f32 largest(const f32* x, i32 n) {
  __m256 m[4];
  for (__m256& lanes : m)
    lanes = _mm256_set1_ps(-INFINITY_F32);
  i32 i = 0;
  for (; i + 4 * HALF <= n; i += 4 * HALF) {
    UNROLL for (i32 j = 0; j < 4; j++) m[j] = _mm256_max_ps(_mm256_loadu_ps(x + i + j * HALF), m[j]);  // a NaN never wins
  }
  alignas(32) f32 lanes[HALF];
  _mm256_store_ps(lanes, _mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
  f32 best = -INFINITY_F32;
  for (f32 lane : lanes)
    best = lane > best ? lane : best;
  for (; i < n; i++)
    best = x[i] > best ? x[i] : best;
  return best;
}

// The first that equals the largest; NaN equals nothing.
i32 argmax(const f32* x, i32 n) {
  f32 best = largest(x, n);
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
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    __m256 magnitude = _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i));
    finite = _mm256_and_ps(finite, _mm256_cmp_ps(magnitude, infinity, _CMP_LT_OQ));
  }
  for (; i < n; i++) {
    if (!(abs32(x[i]) < INFINITY_F32)) return false;
  }
  return _mm256_movemask_ps(finite) == 0xff;
}

}  // namespace

void avx2_reduce(Kernels& k) {
  k.argmax = argmax;
  k.all_finite = all_finite;
}

}  // namespace edgellm
