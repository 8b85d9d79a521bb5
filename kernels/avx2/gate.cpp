// Elementwise: units of the feed-forward and the residual sum (arithmetic: kernels.h).
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

void gelu(const f32* x, i32 n, f32* y) {
  using namespace gelu_constants;
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f), c0 = _mm256_set1_ps(C0), c1 = _mm256_set1_ps(C1);
  for_halves(n, [&](i32 i, i32, auto lanes) {
    __m256 v = lanes.load(x + i);
    __m256 u = _mm256_mul_ps(v, _mm256_fmadd_ps(_mm256_mul_ps(v, v), c1, c0));
    lanes.store(y + i, _mm256_div_ps(v, _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(u, sign)))));
  });
}

void add(f32* x, const f32* y, i32 n) {
  for_lanes(n, [&](i32 i, auto lanes) { lanes.store(x + i, _mm256_add_ps(lanes.load(x + i), lanes.load(y + i))); });
}

}  // namespace

void avx2_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.gelu = gelu;
  k.add = add;
}

}  // namespace edgellm
