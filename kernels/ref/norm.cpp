// RMS norm (Zhang and Sennrich, 2019) and layer norm (Ba, Kiros and Hinton, 2016).
#include "base/math.h"
#include "lanes.h"

namespace edgellm {

static void rms_norm(const f32* x, const f32* weight, f32 eps, i32 n, f32* y) {
  f32 squares[LANES] = {};
  for (i32 i = 0; i < n; i++)
    squares[i % LANES] = fma32(x[i], x[i], squares[i % LANES]);
  f32 r = 1.0f / __builtin_sqrtf(fold(squares) / static_cast<f32>(n) + eps);
  for (i32 i = 0; i < n; i++)
    y[i] = weight ? (x[i] * r) * weight[i] : x[i] * r;
}

static void layer_norm(const f32* x, const f32* weight, const f32* bias, f32 eps, i32 n, f32* y) {
  f32 sums[LANES] = {}, squares[LANES] = {};
  for (i32 i = 0; i < n; i++)
    sums[i % LANES] = sums[i % LANES] + x[i];
  f32 mean = fold(sums) / static_cast<f32>(n);
  for (i32 i = 0; i < n; i++) {
    f32 d = x[i] - mean;
    squares[i % LANES] = fma32(d, d, squares[i % LANES]);
  }
  f32 r = 1.0f / __builtin_sqrtf(fold(squares) / static_cast<f32>(n) + eps);
  for (i32 i = 0; i < n; i++) {
    f32 normal = (x[i] - mean) * r;
    y[i] = weight ? fma32(normal, weight[i], bias ? bias[i] : 0.0f) : normal;
  }
}

void ref_norm(Kernels& k) {
  k.rms_norm = rms_norm;
  k.layer_norm = layer_norm;
}

}  // namespace edgellm
