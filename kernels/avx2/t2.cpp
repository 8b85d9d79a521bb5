// t2 (layout: kernels/ref/t2.cpp). One vector reads the stream once and decodes in registers; many vectors share codes unpacked
// to bytes (tiles.h).
#include "t2.h"

namespace edgellm {
namespace {

struct T2 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 128, OFFSET = 1;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    unpack_lines(data, columns / T2_LINE_COLUMNS, chunk.buffer);
    chunk.lines = chunk.buffer;
  }

  // 32 lines add at most 32 * 2 * 3 * 127 = 24384 to an int16.
  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_codes<T>(lines, count, q, stride, sums);
  }

  template <i32 T>
  static void fold(const Chunk& chunk, i32 groups, const Tile& tile, f32 (*acc)[PANEL]) {
    fold_plain<T2, T>(chunk, 0, groups, tile, acc);
  }
};

// A panel of t2 by one vector, one scale.
void one_token(const Matrix& w, const Activations& a, const u8* data, i32 units, i32 panel, f32* y) {
  __m256i sums[2] = {_mm256_set1_epi32(-a.sums[0]), _mm256_set1_epi32(-a.sums[0])};
  const i8* q = a.q;
  auto add = [&]<i32 LINES>() {
    T2Partial partial;
    UNROLL for (i32 j = 0; j < LINES; j++) partial.add(data + j * LINE, q + j * T2_LINE_COLUMNS);
    UNROLL for (i32 h = 0; h < 2; h++) sums[h] = _mm256_add_epi32(sums[h], partial.sum(h));
    data += LINES * LINE;
    q += LINES * T2_LINE_COLUMNS;
  };
  for (i32 u = 0; u < units / 2; u++)
    add.template operator()<4>();
  if (units % 2) add.template operator()<2>();
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a.scales[0]), row_scales(w, panel, h));
    _mm256_storeu_ps(y + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(sums[h]), scale));
  }
}

void one_group32(const Matrix& w, const Activations& a, const u8* data, i32 units, i32 panel, f32* y) {
  __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (i32 g = 0; g < units; g++)
    add_group(data + g * T2::UNIT_BYTES, a.q + g * GROUP, a.scales[g], a.sums[g], acc);
  UNROLL for (i32 h = 0; h < 2; h++) _mm256_storeu_ps(y + h * HALF, _mm256_mul_ps(acc[h], row_scales(w, panel, h)));
}

void matmul_t2_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units) { one_token(w, a, data, units, panel, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_token<T2>(w, a, y, y_stride, panel, v); });
}

void matmul_t2_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units) { one_group32(w, a, data, units, panel, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_group32<T2>(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_t2(Kernels& k) {
  k.matmul_t2_token = matmul_t2_token;
  k.matmul_t2_group32 = matmul_t2_group32;
}

}  // namespace edgellm
