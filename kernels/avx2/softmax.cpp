// Softmax in place: exact maximum, exp, sum in 16 lanes (arithmetic: kernels.h).
#include "exp.h"
#include "fold.h"

namespace edgellm {
namespace {

f32 largest(const f32* x, i32 n) {
  __m256 m = _mm256_set1_ps(-INFINITY_F32);
  i32 i = 0;
  for (; i + HALF <= n; i += HALF)
    m = _mm256_max_ps(_mm256_loadu_ps(x + i), m);  // a NaN never wins
  alignas(32) f32 lanes[HALF];
  _mm256_store_ps(lanes, m);
  f32 best = -INFINITY_F32;
  for (f32 lane : lanes)
    best = lane > best ? lane : best;
  for (; i < n; i++)
    best = x[i] > best ? x[i] : best;
  return best;
}

// x = exp(x - m); the sum of them.
f32 exponentials(f32* x, i32 n, f32 m) {
  i32 whole = n & -PANEL;
  const __m256 maximum = _mm256_set1_ps(m);
  __m256 low = _mm256_setzero_ps(), high = low;
  for (i32 i = 0; i < whole; i += PANEL) {
    __m256 e0 = exp_lanes(_mm256_sub_ps(_mm256_loadu_ps(x + i), maximum));
    __m256 e1 = exp_lanes(_mm256_sub_ps(_mm256_loadu_ps(x + i + HALF), maximum));
    _mm256_storeu_ps(x + i, e0);
    _mm256_storeu_ps(x + i + HALF, e1);
    low = _mm256_add_ps(low, e0);
    high = _mm256_add_ps(high, e1);
  }
  f32 sums[PANEL];
  spread(low, high, sums);
  for (i32 i = whole; i < n; i++) {
    x[i] = exp32(x[i] - m);
    sums[i - whole] = sums[i - whole] + x[i];
  }
  return fold(sums);
}

void softmax(f32* x, i32 n) {
  f32 inverse = 1.0f / exponentials(x, n, largest(x, n));
  i32 i = 0;
  for (; i + HALF <= n; i += HALF)
    _mm256_storeu_ps(x + i, _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_set1_ps(inverse)));
  for (; i < n; i++)
    x[i] = x[i] * inverse;
}

}  // namespace

void avx2_softmax(Kernels& k) {
  k.softmax = softmax;
}

}  // namespace edgellm
