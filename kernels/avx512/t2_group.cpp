// t2_group (layout: kernels/ref/t2_group.cpp): t2 with an f16 scale for every 128 columns of a row inside the unit.
#include "t2.h"

namespace edgellm {
namespace {

constexpr i32 SCALE_BYTES = 64;
constexpr i32 INNER = WEIGHT_GROUP / GROUP;  // groups of activations in a group of weights

struct T2Group {
  static constexpr i32 UNIT = 256, UNIT_BYTES = 1088, OFFSET = 1;

  static constexpr i32 STEPS = T2_STEPS, GROUPS = UNIT / GROUP;

  static void codes(const u8* line, __m512i (&out)[STEPS]) { t2_codes(line, out); }
  static const u8* unit(const u8* panel, i32 g) { return panel + g / GROUPS * i64{UNIT_BYTES}; }
  static const u8* group(const u8* panel, i32 g) { return unit(panel, g) + SCALE_BYTES + g % GROUPS * 2 * LINE; }
  static __m512 weight_scale(const u8* panel, i32 g) {
    return load_f16(unit(panel, g) + g % GROUPS / INNER * (SCALE_BYTES / 2));
  }

  static void fold(i32 g, __m512 sum, f32 scale, __m512 weight_scale, __m512& inner, __m512& acc) {
    fold_plain(sum, scale, inner);
    if (g % INNER != INNER - 1) return;
    acc = _mm512_fmadd_ps(inner, weight_scale, acc);
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
      [&](i32 panel, const u8* data) { many_group32<T2Group>(w, a, y, y_stride, panel, data); });
}

}  // namespace

void avx512_t2_group(Kernels& k) {
  k.matmul_t2_group_group32 = matmul_t2_group_group32;
}

}  // namespace edgellm
