// i8 (layout: docs/FILE.md). Two products of a lane fit in int16: 2 * 128 * 127 = 32512; pairs of them go to int32.
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 LINE_COLUMNS = 4;  // of a 64-byte line
constexpr i32 UNIT_LINES = 8;

// Adds eight columns, two lines, to int32 sums: register 2i + h has rows 4i + 2h and 4i + 2h + 1, two lanes each.
template <bool FIRST>
[[gnu::always_inline]] inline void add_lines(const u8* lines, const i8* q, int32x4_t (&sums)[2 * QUADS]) {
  const Broadcast x = broadcast8(q);
  unrolled<QUADS>([&](auto i) {
    int8x16_t w0 = vreinterpretq_s8_u8(vld1q_u8(lines + 16 * i));
    int8x16_t w1 = vreinterpretq_s8_u8(vld1q_u8(lines + LINE + 16 * i));
    add_pair<FIRST>(w0, w1, x, sums[2 * i], sums[2 * i + 1]);
  });
}

template <bool FIRST>
[[gnu::always_inline]] inline void add_unit(const u8* unit, const i8* q, int32x4_t (&sums)[2 * QUADS]) {
  unrolled<UNIT_LINES / 2>([&](auto j) {
    prefetch<2 * j * LINE>(unit);
    prefetch<(2 * j + 1) * LINE>(unit);
    add_lines<(FIRST && j == 0)>(unit + 2 * j * LINE, q + 2 * j * LINE_COLUMNS, sums);
  });
}

[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  int32x4_t sums[2 * QUADS] = {};
  for (i32 u = 0; u < units; u++, unit += UNIT_LINES * LINE, q += GROUP)
    add_unit<false>(unit, q, sums);
  unrolled<QUADS>([&](auto i) {
    int32x4_t sum = vpaddq_s32(sums[2 * i], sums[2 * i + 1]);
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(sum), scale));
  });
}

[[gnu::flatten]] void one_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                  i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const f32* scales = a.scales + v * static_cast<i64>(a.stride / GROUP);
  Lanes acc = all16(0);
  for (i32 u = 0; u < units; u++, unit += UNIT_LINES * LINE, q += GROUP) {
    int32x4_t sums[2 * QUADS];
    add_unit<true>(unit, q, sums);
    unrolled<QUADS>([&](auto i) {
      float32x4_t sum = vcvtq_f32_s32(vpaddq_s32(sums[2 * i], sums[2 * i + 1]));
      acc.quad[i] = vfmaq_n_f32(acc.quad[i], sum, scales[u]);
    });
  }
  for (i32 i = 0; i < QUADS; i++)
    acc.quad[i] = vmulq_f32(acc.quad[i], row_scales(w, panel, i));
  store16(y + v * y_stride + panel * PANEL, acc);
}

struct I8 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 512;
  static constexpr bool SMALL = false;
  static constexpr Inside SCALES = Inside::none;

  [[gnu::flatten]] static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    for (i32 s = 0; s < columns / STEP; s++, data += 4 * LINE) {
      unrolled<QUADS>([&](auto i) {
        int8x16_t parts[4];
        unrolled<4>([&](auto p) { parts[p] = vreinterpretq_s8_u8(vld1q_u8(data + p * LINE + 16 * i)); });
        store_step(chunk, s, i, parts);
      });
    }
  }
};

void matmul_i8_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_token(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_token<I8>(w, a, y, y_stride, panel, v, vectors); });
}

void matmul_i8_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_group32<I8>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token;
  k.matmul_i8_group32 = matmul_i8_group32;
}

}  // namespace edgellm
