// f16 (layout: kernels/ref/f16.cpp), converted in pieces that stay in L1.
#include "floats.h"

namespace edgellm {

void avx2_f16(Kernels& k) {
  k.matmul_f16 = matmul_floats<F16>;
}

}  // namespace edgellm
