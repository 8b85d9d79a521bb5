#include "t5.h"

namespace edgellm {

void neon_dotprod_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token<Sdot>;
}

}  // namespace edgellm
