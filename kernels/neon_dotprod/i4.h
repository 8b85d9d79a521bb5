// i4 (layout: docs/FILE.md). A code is the weight + 8.
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 GROUP_LINES = 4, SCALE_BYTES = 64, UNIT_GROUPS = 2;
constexpr i32 OFFSET = 8;

// The sums of weight * q over one group.
[[gnu::always_inline]] inline Lanes group_sums(const u8* lines, const i8* q, i32 sum_of_q) {
  const uint8x16_t mask = vdupq_n_u8(15);
  const int32x4_t start = vdupq_n_s32(-OFFSET * sum_of_q);
  int32x4_t sum[QUADS] = {start, start, start, start};
  const int8x16_t x[2] = {vld1q_s8(q), vld1q_s8(q + STEP)};
  unrolled<GROUP_LINES>([&](auto j) {
    constexpr i32 lane = j % 2 * 2;
    prefetch<j * LINE>(lines);
    unrolled<QUADS>([&](auto i) {
      uint8x16_t bytes = vld1q_u8(lines + j * LINE + 16 * i);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vandq_u8(bytes, mask)), x[j / 2], lane);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4)), x[j / 2], lane + 1);
    });
  });
  Lanes result;
  unrolled<QUADS>([&](auto i) { result.quad[i] = vcvtq_f32_s32(sum[i]); });
  return result;
}

[[gnu::flatten]] void one_group32(const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit, i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const f32* scales = a.scales + v * static_cast<i64>(a.stride / GROUP);
  const i32* sums = a.sums + v * static_cast<i64>(a.stride / GROUP);
  Lanes acc = all16(0);
  for (i32 u = 0; u < units; u++) {
    const u8* lines = unit + SCALE_BYTES;
    for (i32 g = 0; g < UNIT_GROUPS; g++, lines += GROUP_LINES * LINE, q += GROUP) {
      const Lanes s = group_sums(lines, q, *sums++), weight_scales = load16_f16(unit + SCALE_BYTES / 2 * g);
      const f32 scale = *scales++;
      unrolled<QUADS>(
          [&](auto i) { acc.quad[i] = vfmaq_f32(acc.quad[i], s.quad[i], vmulq_n_f32(weight_scales.quad[i], scale)); });
    }
    unit = lines;
  }
  store16(y + v * y_stride + panel * PANEL, acc);
}

struct I4 {
  static constexpr i32 UNIT = 64, UNIT_BYTES = 576, MANY = 4;
  static constexpr Inside SCALES = Inside::per_group;

  [[gnu::flatten]] static void unpack(const u8* unit, i32 columns, Chunk& chunk) {
    const uint8x16_t mask = vdupq_n_u8(15), eight = vdupq_n_u8(OFFSET);
    u8* out = chunk.buffer;
    for (i32 k = 0; k < columns; k += UNIT, unit += UNIT_BYTES) {
      store16(chunk.scales[k / GROUP], load16_f16(unit));
      store16(chunk.scales[k / GROUP + 1], load16_f16(unit + SCALE_BYTES / 2));
      for (i32 j = 0; j < UNIT_GROUPS * GROUP_LINES; j++, out += 2 * LINE) {
        unrolled<QUADS>([&](auto i) {
          uint8x16_t bytes = vld1q_u8(unit + SCALE_BYTES + j * LINE + 16 * i);
          vst1q_u8(out + 16 * i, vsubq_u8(vandq_u8(bytes, mask), eight));
          vst1q_u8(out + LINE + 16 * i, vsubq_u8(vshrq_n_u8(bytes, 4), eight));
        });
      }
    }
    chunk.lines = chunk.buffer;
  }
};

template <class Dots>
void matmul_i4_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I4>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_group32<I4>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace
}  // namespace edgellm
