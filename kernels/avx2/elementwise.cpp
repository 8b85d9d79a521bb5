// Elementwise operations of the recurrent families (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void mix(const f32* x, const f32* other, const f32* share, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 v = lanes.load(x + i);
    lanes.store(y + i, _mm256_fmadd_ps(_mm256_sub_ps(lanes.load(other + i), v), lanes.load(share + i), v));
  });
}

void multiply(const f32* a, const f32* b, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) { lanes.store(y + i, _mm256_mul_ps(lanes.load(a + i), lanes.load(b + i))); });
}

void add_scaled(f32* x, const f32* y, f32 scale, i32 n) {
  const __m256 scales = _mm256_set1_ps(scale);
  for_lanes(n,
            [&](i32 i, auto lanes) { lanes.store(x + i, _mm256_fmadd_ps(lanes.load(y + i), scales, lanes.load(x + i))); });
}

void sigmoid(const f32* x, const f32* bias, i32 n, f32* y) {
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 v = lanes.load(x + i);
    if (bias) v = _mm256_add_ps(v, lanes.load(bias + i));
    lanes.store(y + i, _mm256_div_ps(one, _mm256_add_ps(one, exp_lanes(_mm256_xor_ps(v, sign)))));
  });
}

// base/math.h's softplus32 in eight lanes.
__m256 softplus_lanes(__m256 x) {
  using namespace log1p_constants;
  const __m256 sign = _mm256_set1_ps(-0.0f);
  __m256 u = exp_lanes(_mm256_or_ps(sign, x));
  __m256 s = _mm256_div_ps(u, _mm256_add_ps(_mm256_set1_ps(2.0f), u)), t = _mm256_mul_ps(s, s);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(C4), t, _mm256_set1_ps(C3));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C2));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C1));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C0));
  __m256 twice = _mm256_add_ps(s, s);
  __m256 rest = _mm256_fmadd_ps(_mm256_mul_ps(twice, t), p, twice);
  __m256 y = _mm256_add_ps(_mm256_max_ps(x, _mm256_setzero_ps()), rest);
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

void softplus(const f32* x, const f32* bias, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 v = lanes.load(x + i);
    if (bias) v = _mm256_add_ps(v, lanes.load(bias + i));
    lanes.store(y + i, softplus_lanes(v));
  });
}

// base/math.h's tanh32 in eight lanes.
__m256 tanh_lanes(__m256 x) {
  using namespace tanh_constants;
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f), two = _mm256_set1_ps(2.0f);
  __m256 magnitude = _mm256_andnot_ps(sign, x), t = _mm256_mul_ps(x, x);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(C4), t, _mm256_set1_ps(C3));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C2));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C1));
  p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(C0));
  __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(x, t), p, x);
  __m256 e = exp_lanes(_mm256_add_ps(magnitude, magnitude));
  __m256 large = _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(e, one)));
  large = _mm256_or_ps(_mm256_andnot_ps(sign, large), _mm256_and_ps(sign, x));
  __m256 y = _mm256_blendv_ps(large, small, _mm256_cmp_ps(magnitude, _mm256_set1_ps(SMALL), _CMP_LT_OQ));
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

void hyperbolic_tangent(const f32* x, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) { lanes.store(y + i, tanh_lanes(lanes.load(x + i))); });
}

void relu2(const f32* x, i32 n, f32* y) {
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 positive = _mm256_max_ps(lanes.load(x + i), _mm256_setzero_ps());  // NaN gives the second, 0
    lanes.store(y + i, _mm256_mul_ps(positive, positive));
  });
}

}  // namespace

void avx2_elementwise(Kernels& k) {
  k.mix = mix;
  k.multiply = multiply;
  k.add_scaled = add_scaled;
  k.sigmoid = sigmoid;
  k.softplus = softplus;
  k.tanh = hyperbolic_tangent;
  k.relu2 = relu2;
}

}  // namespace edgellm
