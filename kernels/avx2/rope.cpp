// Rotary position embedding (arithmetic: kernels.h).
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

void turn(f32* a, f32* b, f32 cosine, f32 sine) {
  f32 first = *a, second = *b;
  *a = fma32(first, cosine, -(second * sine));
  *b = fma32(first, sine, second * cosine);
}

void rope_half(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  i32 i = 0;
  for (; i + HALF <= pairs; i += HALF) {
    __m256 a = _mm256_loadu_ps(head + i), b = _mm256_loadu_ps(head + pairs + i);
    __m256 c = _mm256_loadu_ps(cosine + i), s = _mm256_loadu_ps(sine + i);
    _mm256_storeu_ps(head + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
    _mm256_storeu_ps(head + pairs + i, _mm256_fmadd_ps(a, s, _mm256_mul_ps(b, c)));
  }
  for (; i < pairs; i++)
    turn(head + i, head + pairs + i, cosine[i], sine[i]);
}

// Four pairs a register. Even lanes are a * c - b * s, odd ones a * s + b * c.
void rope_interleaved(f32* head, const f32* cosine, const f32* sine, i32 pairs) {
  i32 i = 0;
  for (; i + 4 <= pairs; i += 4) {
    __m128 c = _mm_loadu_ps(cosine + i), s = _mm_loadu_ps(sine + i);
    __m256 cs = _mm256_set_m128(_mm_unpackhi_ps(c, s), _mm_unpacklo_ps(c, s));
    __m256 sc = _mm256_permute_ps(cs, 0xb1);
    __m256 v = _mm256_loadu_ps(head + 2 * i);
    __m256 a = _mm256_moveldup_ps(v), b = _mm256_movehdup_ps(v);
    _mm256_storeu_ps(head + 2 * i, _mm256_fmaddsub_ps(a, cs, _mm256_mul_ps(b, sc)));
  }
  for (; i < pairs; i++)
    turn(head + 2 * i, head + 2 * i + 1, cosine[i], sine[i]);
}

}  // namespace

void avx2_rope(Kernels& k) {
  k.rope_half = rope_half;
  k.rope_interleaved = rope_interleaved;
}

}  // namespace edgellm
