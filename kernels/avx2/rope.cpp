// Rotary position embedding (arithmetic: kernels.h).
#include "vector.h"

namespace edgellm {
namespace {

void rope_half(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  for_lanes(pairs, [&](i32 i, auto lanes) {
    __m256 a = lanes.load(head + i), b = lanes.load(head + pairs + i);
    __m256 c = lanes.load(cosine + i), s = lanes.load(sine + i);
    lanes.store(head + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    lanes.store(head + pairs + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
  });
}

// Four pairs: even lanes are a * c - b * s, odd ones a * s + b * c.
void turn_four(f32* head, const f32* cosine, const f32* sine) {
  __m128 c = _mm_loadu_ps(cosine), s = _mm_loadu_ps(sine);
  __m256 cs = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));
  __m256 sc = _mm256_permute_ps(cs, 0xb1);
  __m256 v = _mm256_loadu_ps(head);
  __m256 a = _mm256_moveldup_ps(v), b = _mm256_movehdup_ps(v);
  _mm256_storeu_ps(head, _mm256_fmaddsub_ps(a, cs, _mm256_mul_ps(b, sc)));
}

void rope_interleaved(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  i32 i = 0;
  for (; i + 4 <= pairs; i += 4)
    turn_four(head + 2 * i, cosine + i, sine + i);
  if (i == pairs) return;
  f32 rest[8] = {}, c[4] = {}, s[4] = {};
  size_t bytes = sizeof(f32) * static_cast<size_t>(pairs - i);
  __builtin_memcpy(rest, head + 2 * i, 2 * bytes);
  __builtin_memcpy(c, cosine + i, bytes);
  __builtin_memcpy(s, sine + i, bytes);
  turn_four(rest, c, s);
  __builtin_memcpy(head + 2 * i, rest, 2 * bytes);
}

}  // namespace

void avx2_rope(Kernels& k) {
  k.rope_half = rope_half;
  k.rope_interleaved = rope_interleaved;
}

}  // namespace edgellm
