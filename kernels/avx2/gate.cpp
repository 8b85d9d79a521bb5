// Elementwise: gated units and the residual sum (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
  for_halves(n, [&](i32 i, i32, auto lanes) {
    __m256 g = lanes.load(gate + i);
    __m256 act = _mm256_div_ps(g, _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(g, sign))));
    lanes.store(y + i, _mm256_mul_ps(act, lanes.load(up + i)));
  });
}

void relu2_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  for_halves(n, [&](i32 i, i32, auto lanes) {
    __m256 g = _mm256_max_ps(lanes.load(gate + i), _mm256_setzero_ps());  // NaN gives the second, 0
    lanes.store(y + i, _mm256_mul_ps(_mm256_mul_ps(g, g), lanes.load(up + i)));
  });
}

void add(f32* x, const f32* y, i32 n) {
  for_halves(n, [&](i32 i, i32, auto lanes) { lanes.store(x + i, _mm256_add_ps(lanes.load(x + i), lanes.load(y + i))); });
}

}  // namespace

void avx2_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.add = add;
}

}  // namespace edgellm
