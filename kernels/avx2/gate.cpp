// Elementwise: gated units and the residual sum (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) {
    lanes.store(y + i, _mm256_mul_ps(silu_lanes(lanes.load(gate + i)), lanes.load(up + i)));
  });
}

void relu2_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 g = _mm256_max_ps(lanes.load(gate + i), _mm256_setzero_ps());  // NaN gives the second, 0
    lanes.store(y + i, _mm256_mul_ps(_mm256_mul_ps(g, g), lanes.load(up + i)));
  });
}

void add(f32* x, const f32* y, i32 n) {
  for_lanes(n, [&](i32 i, auto lanes) { lanes.store(x + i, _mm256_add_ps(lanes.load(x + i), lanes.load(y + i))); });
}

}  // namespace

void avx2_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.add = add;
}

}  // namespace edgellm
