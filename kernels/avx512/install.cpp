// AVX-512 with VNNI (Ice Lake, Zen 4 and later): the integer matmuls. The rest of the table stays with AVX2.
#include "kernels.h"

namespace edgellm {

void avx512_i8(Kernels& k);
void avx512_i4(Kernels& k);
void avx512_t2(Kernels& k);
void avx512_t2_group(Kernels& k);

void install_avx512(Kernels& k) {
  avx512_i8(k);
  avx512_i4(k);
  avx512_t2(k);
  avx512_t2_group(k);
}

}  // namespace edgellm
