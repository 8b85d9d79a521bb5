// t2_group (layout: kernels/ref/t2_group.cpp): t2 with f16 scales in the stream.
#include "t2.h"

namespace edgellm {
namespace {

// Every 256 columns start with 16 f16 scales of the first 128 and 16 of the others.
struct T2Group {
  static constexpr i32 UNIT = 256, UNIT_BYTES = 1088, OFFSET = 1;
  static constexpr i32 SCALE_BYTES = 64;
  static constexpr i32 GROUPS = WEIGHT_GROUP / GROUP;

  // `scales` of a weight group go where its first group's would.
  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    for (i32 k = 0; k < columns; k += UNIT, data += UNIT_BYTES) {
      unpack_lines(data + SCALE_BYTES, UNIT / T2_LINE_COLUMNS, chunk.buffer + k / 4 * LINE);
      for (i32 i = 0; i < 2; i++) {
        f32* scales = chunk.scales[k / GROUP + i * GROUPS];
        _mm256_store_ps(scales, load_f16(data + 32 * i));
        _mm256_store_ps(scales + HALF, load_f16(data + 32 * i + 16));
      }
    }
    chunk.lines = chunk.buffer;
  }

  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_codes<T>(lines, count, q, stride, sums);
  }

  template <i32 T>
  static void fold(const Chunk& chunk, i32 groups, const Tile& tile, f32 (*acc)[PANEL]) {
    alignas(64) f32 inner[T][PANEL];
    for (i32 g = 0; g < groups; g += GROUPS) {
      UNROLL for (i32 t = 0; t < T; t++) clear(inner[t]);
      fold_plain<T2Group, T>(chunk, g, g + GROUPS, tile, inner);
      UNROLL for (i32 t = 0; t < T; t++) fold_lanes(inner[t], chunk.scales[g], acc[t]);
    }
  }
};

void one_group_group32(const Activations& a, const u8* data, i32 units, f32* y) {
  constexpr i32 LINES = WEIGHT_GROUP / T2_LINE_COLUMNS;
  __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  i32 g = 0;
  for (i32 u = 0; u < units; u++, data += T2Group::UNIT_BYTES) {
    for (i32 i = 0; i < 2; i++) {
      const u8* lines = data + T2Group::SCALE_BYTES + i * LINES * LINE;
      __m256 inner[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
      for (i32 end = g + T2Group::GROUPS; g < end; g++, lines += 2 * LINE) {
        add_group(lines, a.q + g * GROUP, a.scales[g], a.sums[g], inner);
      }
      UNROLL for (i32 h = 0; h < 2; h++) acc[h] = _mm256_fmadd_ps(inner[h], load_f16(data + 32 * i + 16 * h), acc[h]);
    }
  }
  UNROLL for (i32 h = 0; h < 2; h++) _mm256_storeu_ps(y + h * HALF, acc[h]);
}

void matmul_t2_group_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2Group>(
      w, a, row0, row1, [&](i32 panel, const u8* data, i32 units) { one_group_group32(a, data, units, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_group32<T2Group, false>(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_t2_group(Kernels& k) {
  k.matmul_t2_group_group32 = matmul_t2_group_group32;
}

}  // namespace edgellm
