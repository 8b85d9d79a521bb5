// Elementwise operations of the recurrent families; y may be x.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static void mix(const f32* x, const f32* other, const f32* share, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = fma32(other[i] - x[i], share[i], x[i]);
}

static void multiply(const f32* a, const f32* b, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = a[i] * b[i];
}

static void add_scaled(f32* x, const f32* y, f32 scale, i32 n) {
  for (i32 i = 0; i < n; i++)
    x[i] = fma32(y[i], scale, x[i]);
}

static void sigmoid(const f32* x, const f32* bias, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = sigmoid32(bias ? x[i] + bias[i] : x[i]);
}

static void softplus(const f32* x, const f32* bias, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = softplus32(bias ? x[i] + bias[i] : x[i]);
}

static void hyperbolic_tangent(const f32* x, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = tanh32(x[i]);
}

static void relu2(const f32* x, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++) {
    f32 positive = bits_to<u32>(x[i]) - 1u < 0x7f800000u ? x[i] : 0.0f;  // x > 0 by its bits, as in relu2_gate
    y[i] = positive * positive;
  }
}

void ref_elementwise(Kernels& k) {
  k.mix = mix;
  k.multiply = multiply;
  k.add_scaled = add_scaled;
  k.sigmoid = sigmoid;
  k.softplus = softplus;
  k.tanh = hyperbolic_tangent;
  k.relu2 = relu2;
}

}  // namespace edgellm
