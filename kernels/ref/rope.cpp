// Rotary position embedding (Su et al., "RoFormer", 2021): each pair of dims turned by its own angle.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static void turn(f32* a, f32* b, f32 cosine, f32 sine) {
  f32 first = *a, second = *b;
  *a = fma32(first, cosine, -(second * sine));
  *b = fma32(first, sine, second * cosine);
}

static void rope_half(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  for (i32 i = 0; i < pairs; i++)
    turn(head + i, head + pairs + i, cosine[i], sine[i]);
}

static void rope_interleaved(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  for (i32 i = 0; i < pairs; i++)
    turn(head + 2 * i, head + 2 * i + 1, cosine[i], sine[i]);
}

void ref_rope(Kernels& k) {
  k.rope_half = rope_half;
  k.rope_interleaved = rope_interleaved;
}

}  // namespace edgellm
