// RMS norm and layer norm (arithmetic: kernels.h). Sums run in 16 lanes, two registers; lanes past the end add +0, which
// changes no sum that started at +0.
#include "vector.h"

namespace edgellm {
namespace {

void rms_norm(const f32* x, const f32* weight, f32 eps, i32 n, f32* y) {
  __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    __m256 v = lanes.load(x + i);
    squares[half] = _mm256_fmadd_ps(v, v, squares[half]);
  });
  const __m256 r = _mm256_set1_ps(1.0f / root(fold(squares) / static_cast<f32>(n) + eps));
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 normal = _mm256_mul_ps(lanes.load(x + i), r);
    lanes.store(y + i, weight ? _mm256_mul_ps(normal, lanes.load(weight + i)) : normal);
  });
}

void layer_norm(const f32* x, const f32* weight, const f32* bias, f32 eps, i32 n, f32* y) {
  __m256 sums[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, squares[2] = {sums[0], sums[1]};
  for_halves(n, [&](i32 i, i32 half, auto lanes) { sums[half] = _mm256_add_ps(sums[half], lanes.load(x + i)); });
  const __m256 mean = _mm256_set1_ps(fold(sums) / static_cast<f32>(n));
  for_halves(n, [&](i32 i, i32 half, auto lanes) {
    __m256 d = lanes.keep(_mm256_sub_ps(lanes.load(x + i), mean));
    squares[half] = _mm256_fmadd_ps(d, d, squares[half]);
  });
  const __m256 r = _mm256_set1_ps(1.0f / root(fold(squares) / static_cast<f32>(n) + eps));
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 normal = _mm256_mul_ps(_mm256_sub_ps(lanes.load(x + i), mean), r);
    if (weight) {
      normal = _mm256_fmadd_ps(normal, lanes.load(weight + i), bias ? lanes.load(bias + i) : _mm256_setzero_ps());
    }
    lanes.store(y + i, normal);
  });
}

}  // namespace

void avx2_norm(Kernels& k) {
  k.rms_norm = rms_norm;
  k.layer_norm = layer_norm;
}

}  // namespace edgellm
