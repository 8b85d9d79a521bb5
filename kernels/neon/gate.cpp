// Elementwise: units of the feed-forward and the residual sum.
#include "functions.h"

namespace edgellm {
namespace {

// y[i] = body(a[i], b[i]), four at a time.
template <class Body>
inline void for_fours(const f32* a, const f32* b, i32 n, f32* y, Body&& body) {
  for (i32 i = 0; i < n; i += 4)
    store4(y + i, body(load4(a + i, n - i), load4(b + i, n - i)), n - i);
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

void gelu(const f32* x, i32 n, f32* y) {
  using namespace gelu_constants;
  const float32x4_t one = vdupq_n_f32(1.0f), c0 = vdupq_n_f32(C0), c1 = vdupq_n_f32(C1);
  for_fours(x, x, n, y, [&](float32x4_t v, float32x4_t) {
    float32x4_t u = vmulq_f32(v, vfmaq_f32(c0, vmulq_f32(v, v), c1));
    return vdivq_f32(v, vaddq_f32(one, exp4(vnegq_f32(u))));
  });
}

void add(f32* x, const f32* y, i32 n) {
  for_fours(x, y, n, x, [](float32x4_t a, float32x4_t b) { return vaddq_f32(a, b); });
}

}  // namespace

void neon_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.gelu = gelu;
  k.add = add;
}

}  // namespace edgellm
