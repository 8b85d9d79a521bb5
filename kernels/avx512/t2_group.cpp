// t2_group (layout: kernels/ref/t2_group.cpp): t2 with an f16 scale for every 128 columns of a row inside the unit.
#include "t2.h"

namespace edgellm {
namespace {

constexpr i32 SCALE_BYTES = 64;
constexpr i32 INNER = WEIGHT_GROUP / GROUP;  // groups of activations in a group of weights

struct T2Group {
  static constexpr i32 UNIT = 256, UNIT_BYTES = 1088, OFFSET = 1;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    for (i32 k = 0; k < columns; k += UNIT, data += UNIT_BYTES) {
      UNROLL for (i32 h = 0; h < 2; h++) chunk.scales[k / WEIGHT_GROUP + h] = load_f16(data + h * 32);
      unpack_lines(data + SCALE_BYTES, UNIT / T2_LINE_COLUMNS, chunk.lines + k / 4 * LINE);
    }
  }

  static void fold(const Chunk& chunk, i32 g, __m512 sum, f32 scale, __m512& inner, __m512& acc) {
    fold_plain(sum, scale, inner);
    if (g % INNER != INNER - 1) return;
    acc = _mm512_fmadd_ps(inner, chunk.scales[g / INNER], acc);
    inner = _mm512_setzero_ps();
  }
};

void one_group32(const Matrix& w, const Activations& a, const u8* data, f32* y) {
  __m512 acc = _mm512_setzero_ps();
  i32 units = div_up(w.cols, T2Group::UNIT);
  const i8* q = a.q;
  for (i32 u = 0, g = 0; u < units; u++, data += T2Group::UNIT_BYTES) {
    const u8* lines = data + SCALE_BYTES;
    for (i32 h = 0; h < 2; h++) {
      __m512 inner = _mm512_setzero_ps();
      UNROLL for (i32 i = 0; i < INNER; i++, g++, lines += 2 * LINE, q += GROUP) {
        fold_plain(_mm512_cvtepi32_ps(dot_group(lines, q, a.sums[g])), a.scales[g], inner);
      }
      acc = _mm512_fmadd_ps(inner, load_f16(data + h * 32), acc);
    }
  }
  _mm512_storeu_ps(y, acc);
}

void matmul_t2_group_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2Group>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_group32(w, a, data, y + panel * PANEL); },
      [&](i32 panel, const u8* data, i32 v) { many_group32<T2Group>(w, a, y, y_stride, panel, data, v); });
}

}  // namespace

void avx512_t2_group(Kernels& k) {
  k.matmul_t2_group_group32 = matmul_t2_group_group32;
}

}  // namespace edgellm
