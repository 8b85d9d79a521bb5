#include "neon_dotprod/i8.h"
#include "tiles.h"

namespace edgellm {

void neon_i8mm_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token<Smmla>;
  k.matmul_i8_group32 = matmul_i8_group32<Smmla>;
}

}  // namespace edgellm
