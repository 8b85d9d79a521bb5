// The gate that needs exp (arithmetic: kernels.h); the others wait for memory in avx2/ already.
#include "vector.h"

namespace edgellm {
namespace {

void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
  for_lanes(n, [&](i32 i, __mmask16 mask) {
    __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
    __m512 act = _mm512_div_ps(g, _mm512_add_ps(one, exp_lanes(_mm512_xor_ps(g, sign))));
    _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(act, _mm512_maskz_loadu_ps(mask, up + i)));
  });
}

}  // namespace

void avx512_gate(Kernels& k) {
  k.silu_gate = silu_gate;
}

}  // namespace edgellm
