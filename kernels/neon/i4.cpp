// i4 (layout: docs/FILE.md). A code is the weight + 8; codes are multiplied in int16, 8 * sum of q is taken off.
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 LINE_COLUMNS = 8;  // of a 64-byte line
constexpr i32 GROUP_LINES = 4, SCALE_BYTES = 64, UNIT_GROUPS = 2;
constexpr i32 OFFSET = 8;

// The sums of weight * q over one group. In int16: 8 * 15 * 127 = 15240 in a lane, 30480 in a pair.
[[gnu::always_inline]] inline Lanes group_sums(const u8* lines, const i8* q, i32 sum_of_q) {
  const uint8x16_t mask = vdupq_n_u8(15);
  int16x8_t sum[2 * QUADS];
  unrolled<GROUP_LINES>([&](auto j) {
    const Broadcast x = broadcast8(q + j * LINE_COLUMNS);
    unrolled<QUADS>([&](auto i) {
      uint8x16_t bytes = vld1q_u8(lines + j * LINE + 16 * i);
      int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(bytes, mask));
      int8x16_t w1 = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 4));
      int16x8_t &s0 = sum[2 * i], &s1 = sum[2 * i + 1];
      s0 = j == 0 ? mul_low(w0, x.group[0]) : add_low(s0, w0, x.group[0]);
      s1 = j == 0 ? mul_high(w0, x.group[0]) : add_high(s1, w0, x.group[0]);
      s0 = add_low(s0, w1, x.group[1]);
      s1 = add_high(s1, w1, x.group[1]);
    });
  });
  Lanes result;
  const int32x4_t offset = vdupq_n_s32(OFFSET * sum_of_q);
  unrolled<QUADS>([&](auto i) {
    int32x4_t s = vpaddlq_s16(vpaddq_s16(sum[2 * i], sum[2 * i + 1]));
    result.quad[i] = vcvtq_f32_s32(vsubq_s32(s, offset));
  });
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
      unrolled<GROUP_LINES>([&](auto j) { prefetch<j * LINE>(lines); });
      Lanes s = group_sums(lines, q, *sums++);
      f32 scale = *scales++;
      const u8* weight_scales = unit + SCALE_BYTES / 2 * g;
      unrolled<QUADS>([&](auto i) {
        float32x4_t factor = vmulq_n_f32(load_f16(weight_scales + 8 * i), scale);
        acc.quad[i] = vfmaq_f32(acc.quad[i], s.quad[i], factor);
      });
    }
    unit = lines;
  }
  store16(y + v * y_stride + panel * PANEL, acc);
}

struct I4 {
  static constexpr i32 UNIT = 64, UNIT_BYTES = 576;
  static constexpr bool SMALL = true;
  static constexpr Inside SCALES = Inside::per_group;

  [[gnu::flatten]] static void unpack(const u8* unit, i32 columns, Chunk& chunk) {
    const uint8x16_t mask = vdupq_n_u8(15);
    const int8x16_t eight = vdupq_n_s8(OFFSET);
    for (i32 k = 0; k < columns; k += UNIT, unit += UNIT_BYTES) {
      for (i32 i = 0; i < UNIT_GROUPS * QUADS; i++) {
        vst1q_f32(&chunk.scales[k / GROUP + i / QUADS][4 * (i % QUADS)], load_f16(unit + 8 * i));
      }
      const u8* lines = unit + SCALE_BYTES;
      for (i32 s = 0; s < UNIT / STEP; s++, lines += 2 * LINE) {
        unrolled<QUADS>([&](auto i) {
          uint8x16_t a = vld1q_u8(lines + 16 * i), b = vld1q_u8(lines + LINE + 16 * i);
          uint8x16_t codes[4] = {vandq_u8(a, mask), vshrq_n_u8(a, 4), vandq_u8(b, mask), vshrq_n_u8(b, 4)};
          int8x16_t parts[4];
          unrolled<4>([&](auto p) { parts[p] = vsubq_s8(vreinterpretq_s8_u8(codes[p]), eight); });
          store_step(chunk, k / STEP + s, i, parts);
        });
      }
    }
  }
};

void matmul_i4_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I4>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_group32<I4>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32;
}

}  // namespace edgellm
