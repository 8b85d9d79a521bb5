#include "i8.h"

namespace edgellm {

void neon_dotprod_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token<Sdot>;
  k.matmul_i8_group32 = matmul_i8_group32<Sdot>;
}

}  // namespace edgellm
