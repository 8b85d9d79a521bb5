// f16 (layout: kernels/ref/f16.cpp), read in place.
#include "floats.h"

namespace edgellm {

void avx512_f16(Kernels& k) {
  k.matmul_f16 = matmul_floats<F16>;
}

}  // namespace edgellm
