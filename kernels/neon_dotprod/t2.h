// t2 and t2_group (layout: docs/FILE.md). A code is the weight + 1. One vector reads the stream once; many share lines of
// unpacked weights (tiles.h).
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 UNIT_GROUPS = 8, SCALE_BYTES = 64;  // of a t2_group unit

// Codes are multiplied where they lie in a byte, as far as a signed byte allows, with sums of their own for each place.
// |16 * sum of a quarter of the columns| <= 16 * 3 * 127 * 32768 < 2^31.
struct Codes {
  int32x4_t sum[QUADS], times4[QUADS], times16[QUADS];
};

[[gnu::always_inline]] inline void add_line(const u8* line, const i8* q, Codes& codes) {
  const int8x16_t x = vld1q_s8(q);
  unrolled<QUADS>([&](auto i) {
    uint8x16_t bytes = vld1q_u8(line + 16 * i);
    int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(3)));
    int8x16_t w1 = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(12)));
    int8x16_t w2 = vreinterpretq_s8_u8(vandq_u8(bytes, vdupq_n_u8(48)));
    int8x16_t w3 = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
    codes.sum[i] = vdotq_laneq_s32(vdotq_laneq_s32(codes.sum[i], w0, x, 0), w3, x, 3);
    codes.times4[i] = vdotq_laneq_s32(codes.times4[i], w1, x, 1);
    codes.times16[i] = vdotq_laneq_s32(codes.times16[i], w2, x, 2);
  });
}

[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  Codes codes = {};
  for (i32 u = 0; u < units; u++, unit += 2 * LINE, q += GROUP) {
    prefetch<0>(unit);
    prefetch<LINE>(unit);
    add_line(unit, q, codes);
    add_line(unit + LINE, q + STEP, codes);
  }
  const int32x4_t offset = vdupq_n_s32(a.sums[v]);
  unrolled<QUADS>([&](auto i) {
    int32x4_t sum = vsraq_n_s32(vsraq_n_s32(codes.sum[i], codes.times4[i], 2), codes.times16[i], 4);
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(vsubq_s32(sum, offset)), scale));
  });
}

// The sums of weight * q over one group of 32 columns, two lines, as f32.
[[gnu::always_inline]] inline Lanes group_sums(const u8* lines, const i8* q, i32 sum_of_q) {
  const uint8x16_t low = vdupq_n_u8(3);
  const int32x4_t start = vdupq_n_s32(-sum_of_q);
  int32x4_t sum[QUADS] = {start, start, start, start};
  unrolled<2>([&](auto j) {
    prefetch<j * LINE>(lines);
    const int8x16_t x = vld1q_s8(q + j * STEP);
    unrolled<QUADS>([&](auto i) {
      uint8x16_t bytes = vld1q_u8(lines + j * LINE + 16 * i);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vandq_u8(bytes, low)), x, 0);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), low)), x, 1);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), low)), x, 2);
      sum[i] = vdotq_laneq_s32(sum[i], vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6)), x, 3);
    });
  });
  Lanes result;
  unrolled<QUADS>([&](auto i) { result.quad[i] = vcvtq_f32_s32(sum[i]); });
  return result;
}

[[gnu::flatten]] void one_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                  i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const f32* scales = a.scales + v * static_cast<i64>(a.stride / GROUP);
  const i32* sums = a.sums + v * static_cast<i64>(a.stride / GROUP);
  Lanes acc = all16(0);
  for (i32 u = 0; u < units; u++, unit += 2 * LINE, q += GROUP)
    add_scaled(acc, group_sums(unit, q, sums[u]), scales[u]);
  unrolled<QUADS>([&](auto i) { acc.quad[i] = vmulq_f32(acc.quad[i], row_scales(w, panel, i)); });
  store16(y + v * y_stride + panel * PANEL, acc);
}

[[gnu::flatten]] void one_group_group32(const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit, i32 units,
                                        i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const f32* scales = a.scales + v * static_cast<i64>(a.stride / GROUP);
  const i32* sums = a.sums + v * static_cast<i64>(a.stride / GROUP);
  Lanes acc = all16(0);
  for (i32 u = 0; u < units; u++) {
    const u8* lines = unit + SCALE_BYTES;
    for (i32 half = 0; half < 2; half++) {
      Lanes inner = all16(0);
      for (i32 g = 0; g < UNIT_GROUPS / 2; g++, lines += 2 * LINE, q += GROUP) {
        add_scaled(inner, group_sums(lines, q, *sums++), *scales++);
      }
      const Lanes weight_scales = load16_f16(unit + SCALE_BYTES / 2 * half);
      unrolled<QUADS>([&](auto i) { acc.quad[i] = vfmaq_f32(acc.quad[i], inner.quad[i], weight_scales.quad[i]); });
    }
    unit = lines;
  }
  store16(y + v * y_stride + panel * PANEL, acc);
}

// Unpacks `count` lines of codes to four lines of weights each.
[[gnu::flatten]] inline void unpack_lines(const u8* lines, i32 count, u8* out) {
  const uint8x16_t low = vdupq_n_u8(3), one = vdupq_n_u8(1);
  for (i32 s = 0; s < count; s++, lines += LINE, out += 4 * LINE) {
    unrolled<QUADS>([&](auto i) {
      uint8x16_t bytes = vld1q_u8(lines + 16 * i);
      vst1q_u8(out + 16 * i, vsubq_u8(vandq_u8(bytes, low), one));
      vst1q_u8(out + LINE + 16 * i, vsubq_u8(vandq_u8(vshrq_n_u8(bytes, 2), low), one));
      vst1q_u8(out + 2 * LINE + 16 * i, vsubq_u8(vandq_u8(vshrq_n_u8(bytes, 4), low), one));
      vst1q_u8(out + 3 * LINE + 16 * i, vsubq_u8(vshrq_n_u8(bytes, 6), one));
    });
  }
}

struct T2 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 128, MANY = 4;
  static constexpr Inside SCALES = Inside::none;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    unpack_lines(data, columns / STEP, chunk.buffer);
    chunk.lines = chunk.buffer;
  }
};

struct T2Group {
  static constexpr i32 UNIT = 256, UNIT_BYTES = 1088, MANY = 4;
  static constexpr Inside SCALES = Inside::per_weight_group;

  static void unpack(const u8* unit, i32 columns, Chunk& chunk) {
    for (i32 k = 0; k < columns; k += UNIT, unit += UNIT_BYTES) {
      store16(chunk.scales[k / GROUP], load16_f16(unit));
      store16(chunk.scales[k / GROUP + UNIT_GROUPS / 2], load16_f16(unit + SCALE_BYTES / 2));
      unpack_lines(unit + SCALE_BYTES, UNIT / STEP, chunk.buffer + k / 4 * LINE);
    }
    chunk.lines = chunk.buffer;
  }
};

template <class Dots>
void matmul_t2_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_token(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_token<T2>(w, a, y, y_stride, panel, v, vectors); });
}

template <class Dots>
void matmul_t2_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_group32<T2>(w, a, y, y_stride, panel, v, vectors); });
}

template <class Dots>
void matmul_t2_group_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2Group>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group_group32(a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_group32<T2Group>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace
}  // namespace edgellm
