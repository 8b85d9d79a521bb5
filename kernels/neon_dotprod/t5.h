// t5 (layout: kernels/ref/t5.cpp). A digit is the weight + 1. One vector reads the stream once; many share lines of unpacked
// weights (tiles.h).
#pragma once
#include "neon/t5.h"
#include "tiles.h"

namespace edgellm {
namespace {

struct T5 {
  static constexpr i32 UNIT = T5_COLUMNS, UNIT_BYTES = 64, MANY = 4;

  [[gnu::flatten]] static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    const T5Decoder decode;
    const int8x16_t one = vdupq_n_s8(1);
    u8* out = chunk.buffer;
    for (i32 c = 0; c < columns; c += UNIT, data += LINE, out += 5 * LINE) {
      unrolled<QUADS>([&](auto i) {
        Digits digits = decode(vld1q_u8(data + 16 * i));
        unrolled<5>([&](auto p) { vst1q_u8(out + p * LINE + 16 * i, vreinterpretq_u8_s8(vsubq_s8(digits.digit[p], one))); });
      });
    }
    for (i32 c = columns; c < align_up(columns, GROUP); c += 4, out += LINE)
      unrolled<QUADS>([&](auto i) { vst1q_u8(out + 16 * i, vdupq_n_u8(0)); });
    chunk.lines = chunk.buffer;
  }
};

[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* line,
                                i32 v) {
  const T5Decoder decode;
  const int32x4_t start = vdupq_n_s32(-a.sums[v]);
  int32x4_t sums[QUADS] = {start, start, start, start};
  for_t5_lines(line, a.q + v * static_cast<i64>(a.stride), w.cols, [&](const u8* at, const i8* q) {
    prefetch<0>(at);
    const int8x16_t x = vld1q_s8(q);
    const int8x16_t last = vreinterpretq_s8_s32(vld1q_dup_s32(reinterpret_cast<const i32*>(q + STEP)));
    unrolled<QUADS>([&](auto i) {
      Digits digits = decode(vld1q_u8(at + 16 * i));
      unrolled<4>([&](auto p) { sums[i] = vdotq_laneq_s32(sums[i], digits.digit[p], x, p); });
      sums[i] = vdotq_s32(sums[i], digits.digit[4], last);
    });
  });
  unrolled<QUADS>([&](auto i) {
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(sums[i]), scale));
  });
}

template <class Dots>
void matmul_t5_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T5>(
      w, a, row0, row1, [&](i32 panel, const u8* data, i32, i32 v) { one_token(w, a, y, y_stride, panel, data, v); },
      [&](i32 panel, i32 v, i32 vectors) { Dots::template many_token<T5>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace
}  // namespace edgellm
