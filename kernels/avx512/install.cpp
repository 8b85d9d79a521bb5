// AVX-512 with VNNI (Ice Lake, Zen 4 and later). What is not here is as fast in avx2/.
#include "kernels.h"

namespace edgellm {

void avx512_f32(Kernels& k);
void avx512_f16(Kernels& k);
void avx512_i8(Kernels& k);
void avx512_sparse(Kernels& k);
void avx512_i4(Kernels& k);
void avx512_t2(Kernels& k);
void avx512_t2_group(Kernels& k);
void avx512_t5(Kernels& k);
void avx512_quantize(Kernels& k);
void avx512_gate(Kernels& k);
void avx512_attention(Kernels& k);
void avx512_softmax(Kernels& k);

void install_avx512(Kernels& k) {
  avx512_f32(k);
  avx512_f16(k);
  avx512_i8(k);
  avx512_sparse(k);
  avx512_i4(k);
  avx512_t2(k);
  avx512_t2_group(k);
  avx512_t5(k);
  avx512_quantize(k);
  avx512_gate(k);
  avx512_attention(k);
  avx512_softmax(k);
}

}  // namespace edgellm
