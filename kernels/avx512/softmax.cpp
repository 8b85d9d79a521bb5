// Softmax in place: exact maximum, exp, sum in 16 lanes (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void softmax(f32* x, i32 n) {
  __m512 most = _mm512_set1_ps(-INFINITY_F32);
  for_lanes(n, [&](i32 i, __mmask16 mask) {
    most = _mm512_mask_max_ps(most, mask, _mm512_maskz_loadu_ps(mask, x + i), most);  // a NaN never wins
  });
  const __m512 m = _mm512_set1_ps(_mm512_reduce_max_ps(most));
  __m512 sums = _mm512_setzero_ps();
  for_lanes(n, [&](i32 i, __mmask16 mask) {
    __m512 e = exp_lanes(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, x + i), m));
    _mm512_mask_storeu_ps(x + i, mask, e);
    sums = _mm512_mask_add_ps(sums, mask, sums, e);
  });
  const __m512 inverse = _mm512_set1_ps(1.0f / fold(sums));
  for_lanes(n, [&](i32 i, __mmask16 mask) {
    _mm512_mask_storeu_ps(x + i, mask, _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), inverse));
  });
}

}  // namespace

void avx512_softmax(Kernels& k) {
  k.softmax = softmax;
}

}  // namespace edgellm
