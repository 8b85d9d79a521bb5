// The set for every 64-bit ARM CPU: ARMv8.0, no dot products, no f16 arithmetic.
#include "kernels.h"

namespace edgellm {

void neon_f32(Kernels& k);
void neon_f16(Kernels& k);
void neon_i8(Kernels& k);
void neon_i4(Kernels& k);
void neon_t2(Kernels& k);
void neon_t5(Kernels& k);
void neon_sparse(Kernels& k);
void neon_dequantized(Kernels& k);
void neon_quantize(Kernels& k);
void neon_norm(Kernels& k);
void neon_rope(Kernels& k);
void neon_gate(Kernels& k);
void neon_attention(Kernels& k);
void neon_softmax(Kernels& k);
void neon_reduce(Kernels& k);
void neon_elementwise(Kernels& k);
void neon_wkv(Kernels& k);
void neon_scan(Kernels& k);

void install_neon(Kernels& k) {
  neon_f32(k);
  neon_f16(k);
  neon_i8(k);
  neon_i4(k);
  neon_t2(k);
  neon_t5(k);
  neon_sparse(k);
  neon_dequantized(k);
  neon_quantize(k);
  neon_norm(k);
  neon_rope(k);
  neon_gate(k);
  neon_attention(k);
  neon_softmax(k);
  neon_reduce(k);
  neon_elementwise(k);
  neon_wkv(k);
  neon_scan(k);
}

}  // namespace edgellm
