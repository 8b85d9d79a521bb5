// AVX2 with FMA and F16C: Intel since Haswell (2013), AMD since Excavator and Zen (2015).
#include "kernels.h"

namespace edgellm {

void avx2_f32(Kernels& k);
void avx2_f16(Kernels& k);
void avx2_i8(Kernels& k);
void avx2_sparse(Kernels& k);
void avx2_i4(Kernels& k);
void avx2_t2(Kernels& k);
void avx2_t2_group(Kernels& k);
void avx2_t5(Kernels& k);
void avx2_dequantized(Kernels& k);
void avx2_quantize(Kernels& k);
void avx2_norm(Kernels& k);
void avx2_rope(Kernels& k);
void avx2_attention(Kernels& k);
void avx2_gate(Kernels& k);
void avx2_softmax(Kernels& k);
void avx2_elementwise(Kernels& k);
void avx2_wkv(Kernels& k);
void avx2_scan(Kernels& k);
void avx2_reduce(Kernels& k);

void install_avx2(Kernels& k) {
  avx2_f32(k);
  avx2_f16(k);
  avx2_i8(k);
  avx2_sparse(k);
  avx2_i4(k);
  avx2_t2(k);
  avx2_t2_group(k);
  avx2_t5(k);
  avx2_dequantized(k);
  avx2_quantize(k);
  avx2_norm(k);
  avx2_rope(k);
  avx2_attention(k);
  avx2_gate(k);
  avx2_softmax(k);
  avx2_elementwise(k);
  avx2_wkv(k);
  avx2_scan(k);
  avx2_reduce(k);
}

}  // namespace edgellm
