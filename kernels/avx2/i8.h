// Dot products of signed bytes, shared by i8 weights and i8 keys. maddubs takes |w| as its unsigned operand and q with w's sign
// as the signed one: 2 * 128 * 127 < 2^15, so nothing saturates, whatever the bytes.
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

// Neighbouring pairs of w * q.
inline __m256i multiply(__m256i w, __m256i magnitude, __m256i q) {
  return _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(q, w));
}

// sums[t] = w * q over `count` lines.
template <i32 T>
inline void dot_bytes(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
  Ints total[T][2];
  UNROLL for (i32 t = 0; t < T; t++) total[t][0] = total[t][1] = Ints{};
  for (i32 i = 0; i < count; i++) {
    __m256i w0 = load(lines + i * LINE), w1 = load(lines + i * LINE + 32);
    __m256i m0 = _mm256_abs_epi8(w0), m1 = _mm256_abs_epi8(w1);
    UNROLL for (i32 t = 0; t < T; t++) {
      __m256i x = broadcast4(q + t * stride + 4 * i);
      total[t][0] += Ints(widen(multiply(w0, m0, x)));
      total[t][1] += Ints(widen(multiply(w1, m1, x)));
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 h = 0; h < 2; h++) sums[t][h] = __m256i(total[t][h]);
  }
}

}  // namespace
}  // namespace edgellm
