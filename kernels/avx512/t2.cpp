// t2 (layout: kernels/ref/t2.cpp). One vector leaves the bits where they are.
#include "t2.h"

namespace edgellm {
namespace {

struct T2 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 128, OFFSET = 1;

  static constexpr i32 STEPS = T2_STEPS;

  static void codes(const u8* line, __m512i (&out)[STEPS]) { t2_codes(line, out); }
  static const u8* group(const u8* panel, i32 g) { return panel + g * i64{UNIT_BYTES}; }
  static __m512 weight_scale(const u8*, i32) { return _mm512_setzero_ps(); }
  static void fold(i32, __m512 sum, f32 scale, __m512, __m512&, __m512& acc) { fold_plain(sum, scale, acc); }
};

// Each pair of bits stays where it is and has a sum of its own, 1, 4, 16 and 64 times too large: no shifts of the weights. The
// largest is 64 * 3 * 127 * 131072 / 4 = 798,949,376 < 2^31, so that the shift back is exact.
void one_token(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  __m512i masks[4], sums[4];
  UNROLL for (i32 p = 0; p < 4; p++) {
    masks[p] = _mm512_set1_epi8(static_cast<char>(3 << (2 * p)));
    sums[p] = _mm512_setzero_si512();
  }
  i32 lines = div_up(w.cols, T2::UNIT) * 2;
  const i8* q = a.q;
  for (i32 j = 0; j < lines; j += 2) {
    UNROLL for (i32 i = 0; i < 2; i++, data += LINE, q += T2_LINE_COLUMNS) {
      __m512i x = load(data);
      UNROLL for (i32 p = 0; p < 4; p++) {
        sums[p] = _mm512_dpbusd_epi32(sums[p], _mm512_and_si512(x, masks[p]), broadcast4(q + 4 * p));
      }
    }
  }
  __m512i sum = _mm512_sub_epi32(sums[0], _mm512_set1_epi32(a.sums[0]));
  UNROLL for (u32 p = 1; p < 4; p++) sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[p], 2 * p));
  __m512 scale = _mm512_mul_ps(_mm512_set1_ps(a.scales[0]), row_scales(w, panel));
  _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
}

void one_group32(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  __m512 acc = _mm512_setzero_ps();
  i32 groups = div_up(w.cols, T2::UNIT);
  for (i32 g = 0; g < groups; g++) {
    __m512i sum = dot_group(data + g * i64{T2::UNIT_BYTES}, a.q + g * GROUP, a.sums[g]);
    fold_plain(_mm512_cvtepi32_ps(sum), a.scales[g], acc);
  }
  _mm512_storeu_ps(y, _mm512_mul_ps(acc, row_scales(w, panel)));
}

void matmul_t2_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_token(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, const u8* data) { many_token<T2>(w, a, y, y_stride, panel, data); });
}

void matmul_t2_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_group32(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, const u8* data) { many_group32<T2>(w, a, y, y_stride, panel, data); });
}

}  // namespace

void avx512_t2(Kernels& k) {
  k.matmul_t2_token = matmul_t2_token;
  k.matmul_t2_group32 = matmul_t2_group32;
}

}  // namespace edgellm
