// f32 (layout: kernels/ref/f32.cpp), read in place.
#include "floats.h"

namespace edgellm {

void avx512_f32(Kernels& k) {
  k.matmul_f32 = matmul_floats<F32>;
}

}  // namespace edgellm
