// i8 (layout: docs/FILE.md): the file's lines are what SDOT reads.
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 UNIT_LINES = 8;

[[gnu::always_inline]] inline void add_unit(const u8* unit, const i8* q, int32x4_t (&acc)[1][QUADS]) {
  unrolled<UNIT_LINES>([&](auto j) { prefetch<j * LINE>(unit); });
  add_group<1, QUADS>(unit, q, 0, acc);
}

[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  int32x4_t acc[1][QUADS] = {};
  for (i32 u = 0; u < units; u++, unit += UNIT_LINES * LINE, q += GROUP)
    add_unit(unit, q, acc);
  unrolled<QUADS>([&](auto i) {
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(acc[0][i]), scale));
  });
}

[[gnu::flatten]] void one_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                  i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const f32* scales = a.scales + v * static_cast<i64>(a.stride / GROUP);
  Lanes sum = all16(0);
  for (i32 u = 0; u < units; u++, unit += UNIT_LINES * LINE, q += GROUP) {
    int32x4_t acc[1][QUADS] = {};
    add_unit(unit, q, acc);
    unrolled<QUADS>([&](auto i) { sum.quad[i] = vfmaq_n_f32(sum.quad[i], vcvtq_f32_s32(acc[0][i]), scales[u]); });
  }
  unrolled<QUADS>([&](auto i) { sum.quad[i] = vmulq_f32(sum.quad[i], row_scales(w, panel, i)); });
  store16(y + v * y_stride + panel * PANEL, sum);
}

struct I8 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 512, MANY = 2;
  static constexpr Inside SCALES = Inside::none;
  static void unpack(const u8* data, i32, Chunk& chunk) { chunk.lines = data; }
};

template <class Dots>
void matmul_i8_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_token(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_token<I8>(w, a, y, y_stride, panel, v, vectors); });
}

template <class Dots>
void matmul_i8_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_group32<I8>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace
}  // namespace edgellm
