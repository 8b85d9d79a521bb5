// What SDOT (ARMv8.2, Cortex-A55, A75 and later) makes faster than the plain NEON set.
#include "kernels.h"

namespace edgellm {

void neon_dotprod_i8(Kernels& k);
void neon_dotprod_i4(Kernels& k);
void neon_dotprod_t2(Kernels& k);
void neon_dotprod_t5(Kernels& k);
void neon_dotprod_sparse(Kernels& k);
void neon_dotprod_attention(Kernels& k);

void install_neon_dotprod(Kernels& k) {
  neon_dotprod_i8(k);
  neon_dotprod_i4(k);
  neon_dotprod_t2(k);
  neon_dotprod_t5(k);
  neon_dotprod_sparse(k);
  neon_dotprod_attention(k);
}

}  // namespace edgellm
