// Elementwise: gated units and the residual sum.
#include "exp.h"

namespace edgellm {
namespace {

// y[i] = body(a[i], b[i]) four at a time; the last ones through a buffer.
template <class Body>
inline void for_fours(const f32* a, const f32* b, i32 n, f32* y, Body&& body) {
  i32 i = 0;
  for (; n - i >= 4; i += 4)
    vst1q_f32(y + i, body(vld1q_f32(a + i), vld1q_f32(b + i)));
  if (i == n) return;
  f32 x[2][4] = {};
  for (i32 k = 0; k < n - i; k++) {
    x[0][k] = a[i + k];
    x[1][k] = b[i + k];
  }
  vst1q_f32(x[0], body(vld1q_f32(x[0]), vld1q_f32(x[1])));
  for (i32 k = 0; k < n - i; k++)
    y[i + k] = x[0][k];
}

void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  const float32x4_t one = vdupq_n_f32(1.0f);
  for_fours(gate, up, n, y,
            [&](float32x4_t g, float32x4_t u) { return vmulq_f32(vdivq_f32(g, vaddq_f32(one, exp4(vnegq_f32(g)))), u); });
}

void relu2_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  const float32x4_t zero = vdupq_n_f32(0.0f);
  for_fours(gate, up, n, y, [&](float32x4_t g, float32x4_t u) {
    g = greater(g, zero);
    return vmulq_f32(vmulq_f32(g, g), u);
  });
}

void add(f32* x, const f32* y, i32 n) {
  for_fours(x, y, n, x, [](float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); });
}

}  // namespace

void neon_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.add = add;
}

}  // namespace edgellm
