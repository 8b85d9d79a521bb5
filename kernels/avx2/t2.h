// Lines of two-bit codes, shared by t2 and t2_group: byte 4r + c of a 64-byte line holds columns c, c + 4, c + 8 and c + 12 of
// row r, lowest bits first. A code is the weight + 1.
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 T2_LINE_COLUMNS = 16;

// Unpacks `count` lines to four lines of bytes each.
inline void unpack_lines(const u8* lines, i32 count, u8* out) {
  const __m256i low = _mm256_set1_epi8(3);
  for (i32 i = 0; i < count; i++, lines += LINE, out += 4 * LINE) {
    prefetch(lines);
    for (i32 h = 0; h < LINE; h += 32) {
      __m256i x = load(lines + h);
      store(out + h, _mm256_and_si256(x, low));
      store(out + LINE + h, _mm256_and_si256(_mm256_srli_epi16(x, 2), low));
      store(out + 2 * LINE + h, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
      store(out + 3 * LINE + h, _mm256_and_si256(_mm256_srli_epi16(x, 6), low));
    }
  }
}

// Sums of code * q in int16: `fine` as they are, `coarse` four times (the codes of bits 2-3 and 6-7 stay in place).
// A line adds at most 2 * 2 * 3 * 127 to fine and 2 * 2 * 12 * 127 = 6096 to coarse: up to 5 lines fit.
struct T2Partial {
  __m256i fine[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i coarse[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

  // A line of 64 bytes and the 16 activations of its columns.
  inline void add(const u8* line, const i8* q) {
    const __m256i low = _mm256_set1_epi8(3), high = _mm256_set1_epi8(12);
    __m256i q0 = broadcast4(q), q1 = broadcast4(q + 4), q2 = broadcast4(q + 8), q3 = broadcast4(q + 12);
    UNROLL for (i32 h = 0; h < 2; h++) {
      __m256i x = load(line + 32 * h), y = _mm256_srli_epi16(x, 4);
      fine[h] = _mm256_add_epi16(fine[h], _mm256_maddubs_epi16(_mm256_and_si256(x, low), q0));
      coarse[h] = _mm256_add_epi16(coarse[h], _mm256_maddubs_epi16(_mm256_and_si256(x, high), q1));
      fine[h] = _mm256_add_epi16(fine[h], _mm256_maddubs_epi16(_mm256_and_si256(y, low), q2));
      coarse[h] = _mm256_add_epi16(coarse[h], _mm256_maddubs_epi16(_mm256_and_si256(y, high), q3));
    }
  }

  __m256i sum(i32 half) const { return widen(_mm256_add_epi16(fine[half], _mm256_srai_epi16(coarse[half], 2))); }
};

// Two lines are a group of 32 columns: acc = fma(f32(s), scale, acc).
inline void add_group(const u8* data, const i8* q, f32 scale, i32 q_sum, __m256 (&acc)[2]) {
  T2Partial partial;
  partial.add(data, q);
  partial.add(data + LINE, q + T2_LINE_COLUMNS);
  __m256i offset = _mm256_set1_epi32(q_sum);
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(partial.sum(h), offset));
    acc[h] = _mm256_fmadd_ps(sum, _mm256_set1_ps(scale), acc[h]);
  }
}

}  // namespace
}  // namespace edgellm
