// Rotary position embedding: a' = fma(a, c, -(b * s)), b' = fma(a, s, b * c).
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

struct Pairs {
  float32x4_t first, second;
};

inline Pairs turn(Pairs p, float32x4_t cosine, float32x4_t sine) {
  return {vfmaq_f32(vnegq_f32(vmulq_f32(p.second, sine)), p.first, cosine),
          vfmaq_f32(vmulq_f32(p.second, cosine), p.first, sine)};
}

inline void turn_one(f32* a, f32* b, f32 cosine, f32 sine) {
  f32 first = *a, second = *b;
  *a = fma32(first, cosine, -(second * sine));
  *b = fma32(first, sine, second * cosine);
}

void rope_half(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  i32 i = 0;
  for (; pairs - i >= 4; i += 4) {
    Pairs p = turn({vld1q_f32(head + i), vld1q_f32(head + pairs + i)}, vld1q_f32(cosine + i), vld1q_f32(sine + i));
    vst1q_f32(head + i, p.first);
    vst1q_f32(head + pairs + i, p.second);
  }
  for (; i < pairs; i++)
    turn_one(head + i, head + pairs + i, cosine[i], sine[i]);
}

void rope_interleaved(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  i32 i = 0;
  for (; pairs - i >= 4; i += 4) {
    float32x4x2_t pair = vld2q_f32(head + 2 * i);
    Pairs p = turn({pair.val[0], pair.val[1]}, vld1q_f32(cosine + i), vld1q_f32(sine + i));
    pair.val[0] = p.first;
    pair.val[1] = p.second;
    vst2q_f32(head + 2 * i, pair);
  }
  for (; i < pairs; i++)
    turn_one(head + 2 * i, head + 2 * i + 1, cosine[i], sine[i]);
}

}  // namespace

void neon_rope(Kernels& k) {
  k.rope_half = rope_half;
  k.rope_interleaved = rope_interleaved;
}

}  // namespace edgellm
