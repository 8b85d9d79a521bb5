// Elementwise operations of the recurrent families; y may be x.
#include "functions.h"

namespace edgellm {
namespace {

void mix(const f32* x, const f32* other, const f32* share, i32 n, f32* y) {
  for (i32 i = 0; i < n; i += 4) {
    const i32 left = n - i;
    const float32x4_t now = load4(x + i, left);
    store4(y + i, vfmaq_f32(now, vsubq_f32(load4(other + i, left), now), load4(share + i, left)), left);
  }
}

void multiply(const f32* a, const f32* b, i32 n, f32* y) {
  for (i32 i = 0; i < n; i += 4)
    store4(y + i, vmulq_f32(load4(a + i, n - i), load4(b + i, n - i)), n - i);
}

void add_scaled(f32* x, const f32* y, f32 scale, i32 n) {
  for (i32 i = 0; i < n; i += 4)
    store4(x + i, vfmaq_n_f32(load4(x + i, n - i), load4(y + i, n - i), scale), n - i);
}

// y = function(x + bias).
template <class Function>
inline void with_bias(const f32* x, const f32* bias, i32 n, f32* y, Function&& function) {
  for (i32 i = 0; i < n; i += 4) {
    float32x4_t v = load4(x + i, n - i);
    if (bias) v = vaddq_f32(v, load4(bias + i, n - i));
    store4(y + i, function(v), n - i);
  }
}

void sigmoid(const f32* x, const f32* bias, i32 n, f32* y) {
  with_bias(x, bias, n, y, [](float32x4_t v) { return sigmoid4(v); });
}

void softplus(const f32* x, const f32* bias, i32 n, f32* y) {
  with_bias(x, bias, n, y, [](float32x4_t v) { return softplus4(v); });
}

void hyperbolic_tangent(const f32* x, i32 n, f32* y) {
  with_bias(x, nullptr, n, y, [](float32x4_t v) { return tanh4(v); });
}

void relu2(const f32* x, i32 n, f32* y) {
  with_bias(x, nullptr, n, y, [](float32x4_t v) {
    v = greater(v, vdupq_n_f32(0.0f));
    return vmulq_f32(v, v);
  });
}

}  // namespace

void neon_elementwise(Kernels& k) {
  k.mix = mix;
  k.multiply = multiply;
  k.add_scaled = add_scaled;
  k.sigmoid = sigmoid;
  k.softplus = softplus;
  k.tanh = hyperbolic_tangent;
  k.relu2 = relu2;
}

}  // namespace edgellm
