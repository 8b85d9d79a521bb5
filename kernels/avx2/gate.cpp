// Elementwise: gated units and the residual sum (arithmetic: kernels.h).
#include "exp.h"

namespace edgellm {
namespace {

void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    __m256 g = _mm256_loadu_ps(gate + i);
    __m256 act = _mm256_div_ps(g, _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(g, sign))));
    _mm256_storeu_ps(y + i, _mm256_mul_ps(act, _mm256_loadu_ps(up + i)));
  }
  for (; i < n; i++)
    y[i] = (gate[i] / (1.0f + exp32(-gate[i]))) * up[i];
}

void relu2_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  i32 i = 0;
  for (; i + HALF <= n; i += HALF) {
    __m256 g = _mm256_max_ps(_mm256_loadu_ps(gate + i), _mm256_setzero_ps());  // NaN gives the second, 0
    _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_mul_ps(g, g), _mm256_loadu_ps(up + i)));
  }
  for (; i < n; i++) {
    f32 g = gate[i] > 0.0f ? gate[i] : 0.0f;
    y[i] = (g * g) * up[i];
  }
}

void add(f32* x, const f32* y, i32 n) {
  i32 i = 0;
  for (; i + HALF <= n; i += HALF)
    _mm256_storeu_ps(x + i, _mm256_add_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(y + i)));
  for (; i < n; i++)
    x[i] = x[i] + y[i];
}

}  // namespace

void avx2_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.add = add;
}

}  // namespace edgellm
