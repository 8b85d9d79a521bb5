#include "i4.h"

namespace edgellm {

void neon_dotprod_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32<Sdot>;
}

}  // namespace edgellm
