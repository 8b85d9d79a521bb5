// Lines of two-bit codes, shared by t2 and t2_group: byte 4r + c of a 64-byte line holds columns c, c + 4, c + 8 and c + 12 of
// row r, lowest bits first. A code is the weight + 1.
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 T2_LINE_COLUMNS = 16;

constexpr i32 T2_STEPS = T2_LINE_COLUMNS / 4;

inline void t2_codes(const u8* line, __m512i (&out)[T2_STEPS]) {
  const __m512i low = _mm512_set1_epi8(3);
  prefetch(line);
  __m512i x = load(line);
  UNROLL for (u32 s = 0; s < T2_STEPS; s++) out[s] = _mm512_and_si512(_mm512_srli_epi16(x, 2 * s), low);
}

// The exact sums of two lines, a group of 32 columns. Codes of bits 2-3 stay in place and count four times in `coarse`.
inline __m512i dot_group(const u8* lines, const i8* q, i32 q_sum) {
  const __m512i low = _mm512_set1_epi8(3), high = _mm512_set1_epi8(12);
  __m512i fine = _mm512_set1_epi32(-q_sum), coarse = _mm512_setzero_si512();
  UNROLL for (i32 j = 0; j < 2; j++) {
    const i8* at = q + j * T2_LINE_COLUMNS;
    __m512i x = load(lines + j * LINE), y = _mm512_srli_epi16(x, 4);
    fine = _mm512_dpbusd_epi32(fine, _mm512_and_si512(x, low), broadcast4(at));
    coarse = _mm512_dpbusd_epi32(coarse, _mm512_and_si512(x, high), broadcast4(at + 4));
    fine = _mm512_dpbusd_epi32(fine, _mm512_and_si512(y, low), broadcast4(at + 8));
    coarse = _mm512_dpbusd_epi32(coarse, _mm512_and_si512(y, high), broadcast4(at + 12));
  }
  return _mm512_add_epi32(fine, _mm512_srai_epi32(coarse, 2));
}

}  // namespace
}  // namespace edgellm
