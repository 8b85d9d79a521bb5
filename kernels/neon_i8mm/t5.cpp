#include "neon_dotprod/t5.h"
#include "tiles.h"

namespace edgellm {

void neon_i8mm_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token<Smmla>;
}

}  // namespace edgellm
