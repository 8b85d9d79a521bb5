#include "neon_dotprod/i4.h"
#include "tiles.h"

namespace edgellm {

void neon_i8mm_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32<Smmla>;
}

}  // namespace edgellm
