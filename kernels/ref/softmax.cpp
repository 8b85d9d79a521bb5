// Softmax in place: exact maximum first, then exp, then the sum; no online rescaling, so the order is one.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {

static void softmax(f32* x, i32 n) {
  f32 m = -INFINITY_F32;
  for (i32 i = 0; i < n; i++)
    m = x[i] > m ? x[i] : m;
  f32 sums[LANES] = {};
  for (i32 i = 0; i < n; i++) {
    x[i] = exp32(x[i] - m);
    sums[i % LANES] = sums[i % LANES] + x[i];
  }
  f32 inverse = 1.0f / fold(sums);
  for (i32 i = 0; i < n; i++)
    x[i] = x[i] * inverse;
}

void ref_softmax(Kernels& k) {
  k.softmax = softmax;
}

}  // namespace edgellm
