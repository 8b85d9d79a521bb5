// One answer from a vector: the largest value's index, and whether all is finite.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static i32 argmax(const f32* x, i32 n) {
  i32 best = -1;
  for (i32 i = 0; i < n; i++) {
    if (best < 0 ? x[i] == x[i] : x[i] > x[best]) best = i;
  }
  return best;
}

static bool all_finite(const f32* x, i32 n) {
  for (i32 i = 0; i < n; i++) {
    if (!(abs32(x[i]) < INFINITY_F32)) return false;
  }
  return true;
}

void ref_reduce(Kernels& k) {
  k.argmax = argmax;
  k.all_finite = all_finite;
}

}  // namespace edgellm
