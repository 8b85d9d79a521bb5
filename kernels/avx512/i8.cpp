// i8 (layout: kernels/ref/i8.cpp). The sign bit turned round makes the weight an unsigned code, 128 too large.
#include "tiles.h"

namespace edgellm {
namespace {

struct I8 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 512, OFFSET = 128;

  static constexpr i32 STEPS = 1;

  static __m512i code(const u8* line) { return _mm512_xor_si512(load(line), _mm512_set1_epi8(-128)); }
  static void codes(const u8* line, __m512i (&out)[STEPS]) {
    prefetch(line);
    out[0] = code(line);
  }

  static const u8* group(const u8* panel, i32 g) { return panel + g * i64{UNIT_BYTES}; }
  static __m512 weight_scale(const u8*, i32) { return _mm512_setzero_ps(); }
  static void fold(i32, __m512 sum, f32 scale, __m512, __m512&, __m512& acc) { fold_plain(sum, scale, acc); }
};

constexpr i32 UNIT_LINES = I8::UNIT / 4;

// sums[i % 4] += line i of a unit times its activations.
inline void add_unit(const u8* data, const i8* q, __m512i (&sums)[4]) {
  UNROLL for (i32 i = 0; i < UNIT_LINES; i++) {
    sums[i % 4] = _mm512_dpbusd_epi32(sums[i % 4], I8::code(data + i * LINE), broadcast4(q + 4 * i));
  }
}

inline __m512i total(const __m512i (&sums)[4]) {
  return _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
}

inline void start(__m512i (&sums)[4], i32 q_sum) {
  sums[0] = _mm512_set1_epi32(-I8::OFFSET * q_sum);
  sums[1] = sums[2] = sums[3] = _mm512_setzero_si512();
}

void one_token(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  __m512i sums[4];
  start(sums, a.sums[0]);
  i32 units = div_up(w.cols, I8::UNIT);
  for (i32 u = 0; u < units; u++)
    add_unit(data + u * i64{I8::UNIT_BYTES}, a.q + u * I8::UNIT, sums);
  __m512 scale = _mm512_mul_ps(_mm512_set1_ps(a.scales[0]), row_scales(w, panel));
  _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(total(sums)), scale));
}

void one_group32(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  __m512 acc = _mm512_setzero_ps();
  i32 groups = div_up(w.cols, I8::UNIT);
  for (i32 g = 0; g < groups; g++) {
    __m512i sums[4];
    start(sums, a.sums[g]);
    add_unit(data + g * i64{I8::UNIT_BYTES}, a.q + g * GROUP, sums);
    fold_plain(_mm512_cvtepi32_ps(total(sums)), a.scales[g], acc);
  }
  _mm512_storeu_ps(y, _mm512_mul_ps(acc, row_scales(w, panel)));
}

void matmul_i8_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_token(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, const u8* data) { many_token<I8>(w, a, y, y_stride, panel, data); });
}

void matmul_i8_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_group32(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, const u8* data) { many_group32<I8>(w, a, y, y_stride, panel, data); });
}

}  // namespace

void avx512_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token;
  k.matmul_i8_group32 = matmul_i8_group32;
}

}  // namespace edgellm
