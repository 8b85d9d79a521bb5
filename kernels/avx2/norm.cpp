// RMS norm and layer norm: sums in 16 lanes, two registers, folded 8-4-2-1 (arithmetic: kernels.h).
#include "fold.h"

namespace edgellm {
namespace {

void rms_norm(const f32* x, const f32* weight, f32 eps, i32 n, f32* y) {
  i32 whole = n & -PANEL;
  __m256 low = _mm256_setzero_ps(), high = low;
  for (i32 i = 0; i < whole; i += PANEL) {
    __m256 x0 = _mm256_loadu_ps(x + i), x1 = _mm256_loadu_ps(x + i + HALF);
    low = _mm256_fmadd_ps(x0, x0, low);
    high = _mm256_fmadd_ps(x1, x1, high);
  }
  f32 squares[PANEL];
  spread(low, high, squares);
  for (i32 i = whole; i < n; i++)
    squares[i - whole] = fma32(x[i], x[i], squares[i - whole]);
  f32 r = 1.0f / root(fold(squares) / static_cast<f32>(n) + eps);
  const __m256 rs = _mm256_set1_ps(r);
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    __m256 normal = _mm256_mul_ps(_mm256_loadu_ps(x + i), rs);
    _mm256_storeu_ps(y + i, weight ? _mm256_mul_ps(normal, _mm256_loadu_ps(weight + i)) : normal);
  }
  for (; i < n; i++)
    y[i] = weight ? (x[i] * r) * weight[i] : x[i] * r;
}

f32 mean_of(const f32* x, i32 n) {
  i32 whole = n & -PANEL;
  __m256 low = _mm256_setzero_ps(), high = low;
  for (i32 i = 0; i < whole; i += PANEL) {
    low = _mm256_add_ps(low, _mm256_loadu_ps(x + i));
    high = _mm256_add_ps(high, _mm256_loadu_ps(x + i + HALF));
  }
  f32 sums[PANEL];
  spread(low, high, sums);
  for (i32 i = whole; i < n; i++)
    sums[i - whole] = sums[i - whole] + x[i];
  return fold(sums) / static_cast<f32>(n);
}

f32 inverse_deviation(const f32* x, f32 mean, f32 eps, i32 n) {
  i32 whole = n & -PANEL;
  const __m256 means = _mm256_set1_ps(mean);
  __m256 low = _mm256_setzero_ps(), high = low;
  for (i32 i = 0; i < whole; i += PANEL) {
    __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(x + i), means), d1 = _mm256_sub_ps(_mm256_loadu_ps(x + i + HALF), means);
    low = _mm256_fmadd_ps(d0, d0, low);
    high = _mm256_fmadd_ps(d1, d1, high);
  }
  f32 squares[PANEL];
  spread(low, high, squares);
  for (i32 i = whole; i < n; i++) {
    f32 d = x[i] - mean;
    squares[i - whole] = fma32(d, d, squares[i - whole]);
  }
  return 1.0f / root(fold(squares) / static_cast<f32>(n) + eps);
}

void layer_norm(const f32* x, const f32* weight, const f32* bias, f32 eps, i32 n, f32* y) {
  f32 mean = mean_of(x, n), r = inverse_deviation(x, mean, eps, n);
  const __m256 means = _mm256_set1_ps(mean), rs = _mm256_set1_ps(r);
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    __m256 normal = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), means), rs);
    if (weight) {
      __m256 b = bias ? _mm256_loadu_ps(bias + i) : _mm256_setzero_ps();
      normal = _mm256_fmadd_ps(normal, _mm256_loadu_ps(weight + i), b);
    }
    _mm256_storeu_ps(y + i, normal);
  }
  for (; i < n; i++) {
    f32 normal = (x[i] - mean) * r;
    y[i] = weight ? fma32(normal, weight[i], bias ? bias[i] : 0.0f) : normal;
  }
}

}  // namespace

void avx2_norm(Kernels& k) {
  k.rms_norm = rms_norm;
  k.layer_norm = layer_norm;
}

}  // namespace edgellm
