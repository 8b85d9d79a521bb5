#include "neon_dotprod/t2.h"
#include "tiles.h"

namespace edgellm {

void neon_i8mm_t2(Kernels& k) {
  k.matmul_t2_token = matmul_t2_token<Smmla>;
  k.matmul_t2_group32 = matmul_t2_group32<Smmla>;
  k.matmul_t2_group_group32 = matmul_t2_group_group32<Smmla>;
}

}  // namespace edgellm
