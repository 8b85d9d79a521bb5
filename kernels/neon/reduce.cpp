// One answer from a vector: the largest value's index, and whether all is finite.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

inline bool any(uint32x4_t mask) {
  return vmaxvq_u32(mask) != 0;
}

// The largest value without its place first, then the first element that equals it; -infinity may be it or may be absent.
i32 argmax(const f32* x, i32 n) {
  Lanes m = all16(-INFINITY_F32);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    for (i32 k = 0; k < QUADS; k++)
      m.quad[k] = greater(vld1q_f32(x + i + 4 * k), m.quad[k]);
  }
  f32 best = vmaxvq_f32(greater(greater(m.quad[0], m.quad[1]), greater(m.quad[2], m.quad[3])));
  for (; i < n; i++)
    best = x[i] > best ? x[i] : best;

  i = 0;
  const float32x4_t wanted = vdupq_n_f32(best);
  for (; n - i >= PANEL; i += PANEL) {
    uint32x4_t low = vorrq_u32(vceqq_f32(vld1q_f32(x + i), wanted), vceqq_f32(vld1q_f32(x + i + 4), wanted));
    uint32x4_t high = vorrq_u32(vceqq_f32(vld1q_f32(x + i + 8), wanted), vceqq_f32(vld1q_f32(x + i + 12), wanted));
    if (any(vorrq_u32(low, high))) break;
  }
  for (; i < n; i++) {
    if (x[i] == best) return i;
  }
  return -1;
}

bool all_finite(const f32* x, i32 n) {
  const float32x4_t infinity = vdupq_n_f32(INFINITY_F32);
  i32 i = 0;
  for (; n - i >= PANEL; i += PANEL) {
    uint32x4_t low = vandq_u32(vcaltq_f32(vld1q_f32(x + i), infinity), vcaltq_f32(vld1q_f32(x + i + 4), infinity));
    uint32x4_t high = vandq_u32(vcaltq_f32(vld1q_f32(x + i + 8), infinity), vcaltq_f32(vld1q_f32(x + i + 12), infinity));
    if (any(vmvnq_u32(vandq_u32(low, high)))) return false;
  }
  for (; i < n; i++) {
    if (!(abs32(x[i]) < INFINITY_F32)) return false;
  }
  return true;
}

}  // namespace

void neon_reduce(Kernels& k) {
  k.argmax = argmax;
  k.all_finite = all_finite;
}

}  // namespace edgellm
