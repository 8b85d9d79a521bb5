// The reference set: fills every slot.
#include "kernels.h"

namespace edgellm {

void ref_f32(Kernels& k);
void ref_f16(Kernels& k);
void ref_i8(Kernels& k);
void ref_sparse(Kernels& k);
void ref_i4(Kernels& k);
void ref_t2(Kernels& k);
void ref_t2_group(Kernels& k);
void ref_t5(Kernels& k);
void ref_dequantized(Kernels& k);
void ref_quantize(Kernels& k);
void ref_norm(Kernels& k);
void ref_rope(Kernels& k);
void ref_gate(Kernels& k);
void ref_attention(Kernels& k);
void ref_softmax(Kernels& k);
void ref_reduce(Kernels& k);
void ref_elementwise(Kernels& k);
void ref_wkv(Kernels& k);
void ref_scan(Kernels& k);

void install_ref(Kernels& k) {
  ref_f32(k);
  ref_f16(k);
  ref_i8(k);
  ref_sparse(k);
  ref_i4(k);
  ref_t2(k);
  ref_t2_group(k);
  ref_t5(k);
  ref_dequantized(k);
  ref_quantize(k);
  ref_norm(k);
  ref_rope(k);
  ref_gate(k);
  ref_attention(k);
  ref_softmax(k);
  ref_reduce(k);
  ref_elementwise(k);
  ref_wkv(k);
  ref_scan(k);
}

}  // namespace edgellm
