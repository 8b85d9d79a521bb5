// What SMMLA (ARMv8.6, Cortex-A510, X2, Neoverse V1, Apple M2 and later) makes faster: many vectors at once.
#include "kernels.h"

namespace edgellm {

void neon_i8mm_i8(Kernels& k);
void neon_i8mm_i4(Kernels& k);
void neon_i8mm_t2(Kernels& k);
void neon_i8mm_t5(Kernels& k);

void install_neon_i8mm(Kernels& k) {
  neon_i8mm_i8(k);
  neon_i8mm_i4(k);
  neon_i8mm_t2(k);
  neon_i8mm_t5(k);
}

}  // namespace edgellm
