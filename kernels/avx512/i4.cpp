// i4 (layout: kernels/ref/i4.cpp): two groups of 32 columns a unit, an f16 scale a row and group inside it.
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 SCALE_BYTES = 64;
constexpr i32 GROUP_LINES = 4;

struct I4 {
  static constexpr i32 UNIT = 64, UNIT_BYTES = 576, OFFSET = 8;

  static constexpr i32 STEPS = 2;

  static void codes(const u8* line, __m512i (&out)[STEPS]) {
    const __m512i low = _mm512_set1_epi8(15);
    prefetch(line);
    __m512i x = load(line);
    out[0] = _mm512_and_si512(x, low);
    out[1] = _mm512_and_si512(_mm512_srli_epi16(x, 4), low);
  }

  static const u8* unit(const u8* panel, i32 g) { return panel + g / 2 * i64{UNIT_BYTES}; }
  static const u8* group(const u8* panel, i32 g) { return unit(panel, g) + SCALE_BYTES + g % 2 * GROUP_LINES * LINE; }
  static __m512 weight_scale(const u8* panel, i32 g) { return load_f16(unit(panel, g) + g % 2 * (SCALE_BYTES / 2)); }

  static void fold(i32, __m512 sum, f32 scale, __m512 weight_scale, __m512&, __m512& acc) {
    acc = _mm512_fmadd_ps(sum, _mm512_mul_ps(weight_scale, _mm512_set1_ps(scale)), acc);
  }
};

// The exact sums of a group of 32 columns.
inline __m512i dot_group(const u8* lines, const i8* q, i32 q_sum) {
  const __m512i low = _mm512_set1_epi8(15);
  __m512i even = _mm512_set1_epi32(-I4::OFFSET * q_sum), odd = _mm512_setzero_si512();
  UNROLL for (i32 j = 0; j < GROUP_LINES; j++) {
    __m512i x = load(lines + j * LINE);
    even = _mm512_dpbusd_epi32(even, _mm512_and_si512(x, low), broadcast4(q + 8 * j));
    odd = _mm512_dpbusd_epi32(odd, _mm512_and_si512(_mm512_srli_epi16(x, 4), low), broadcast4(q + 8 * j + 4));
  }
  return _mm512_add_epi32(even, odd);
}

void one_group32(const Matrix& w, const Activations& a, const u8* data, f32* y) {
  __m512 acc = _mm512_setzero_ps();
  i32 units = div_up(w.cols, I4::UNIT);
  for (i32 u = 0; u < units; u++, data += I4::UNIT_BYTES) {
    UNROLL for (i32 h = 0; h < 2; h++) {
      i32 g = 2 * u + h;
      __m512i sum = dot_group(data + SCALE_BYTES + h * GROUP_LINES * LINE, a.q + g * GROUP, a.sums[g]);
      __m512 scale = _mm512_mul_ps(load_f16(data + h * 32), _mm512_set1_ps(a.scales[g]));
      acc = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, acc);
    }
  }
  _mm512_storeu_ps(y, acc);
}

void matmul_i4_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I4>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_group32(w, a, data, y + panel * PANEL); },
      [&](i32 panel, const u8* data) { many_group32<I4>(w, a, y, y_stride, panel, data); });
}

}  // namespace

void avx512_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32;
}

}  // namespace edgellm
