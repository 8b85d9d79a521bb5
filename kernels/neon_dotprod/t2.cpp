#include "t2.h"

namespace edgellm {

void neon_dotprod_t2(Kernels& k) {
  k.matmul_t2_token = matmul_t2_token<Sdot>;
  k.matmul_t2_group32 = matmul_t2_group32<Sdot>;
  k.matmul_t2_group_group32 = matmul_t2_group_group32<Sdot>;
}

}  // namespace edgellm
