// t5. One vector reads the stream once and multiplies digits in int16; many vectors share unpacked weights (tiles.h). A digit
// is the weight + 1.
#include "t5.h"

#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 FLUSH = 24;  // lines of one int16 accumulation: 24 * 5 * 2 * 127 = 30480

struct T5 {
  static constexpr i32 UNIT = T5_COLUMNS, UNIT_BYTES = 64;
  static constexpr bool SMALL = true;

  // Four units are five steps of 16 columns. Units that are not there are zeros.
  [[gnu::flatten]] static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    const T5Decoder decode;
    const int8x16_t one = vdupq_n_s8(1);
    i32 units = columns / UNIT;
    for (i32 u = 0, step = 0; u < units; u += 4, step += 5, data += 4 * LINE) {
      for (i32 i = 0; i < QUADS; i++) {
        int8x16_t parts[5][4] = {};
        unrolled<4>([&](auto j) {
          if (u + j >= units) return;
          Digits digits = decode(vld1q_u8(data + j * LINE + 16 * i));
          unrolled<5>([&](auto p) { parts[(5 * j + p) / 4][(5 * j + p) % 4] = vsubq_s8(digits.digit[p], one); });
        });
        unrolled<5>([&](auto s) { store_step(chunk, step + s, i, parts[s]); });
      }
    }
  }
};
static_assert(chunk_columns(CHUNK, T5_COLUMNS) % (4 * T5_COLUMNS) == 0);

// Sums of digit * q in int16: register 2i + h has columns 0-3 of row 4i + 2h, then of row 4i + 2h + 1.
struct Partial {
  int16x8_t sum[2 * QUADS];
};

[[gnu::always_inline]] inline void add_line(const T5Decoder& decode, const u8* line, const i8* q, Partial& partial) {
  const Broadcast x = broadcast16(q);
  const int8x16_t last = vreinterpretq_s8_s32(vld1q_dup_s32(reinterpret_cast<const i32*>(q + STEP)));
  unrolled<QUADS>([&](auto i) {
    Digits digits = decode(vld1q_u8(line + 16 * i));
    unrolled<5>([&](auto p) {
      const int8x16_t four = p < 4 ? x.group[p % 4] : last;
      partial.sum[2 * i] = add_low(partial.sum[2 * i], digits.digit[p], four);
      partial.sum[2 * i + 1] = add_high(partial.sum[2 * i + 1], digits.digit[p], four);
    });
  });
}

[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* line,
                                i32 v) {
  const T5Decoder decode;
  int32x4_t sums[2 * QUADS] = {};
  Partial partial = {};
  i32 lines = 0;
  auto flush = [&] {
    unrolled<2 * QUADS>([&](auto i) { sums[i] = vpadalq_s16(sums[i], partial.sum[i]); });
    partial = {};
    lines = 0;
  };
  for_t5_lines(line, a.q + v * static_cast<i64>(a.stride), w.cols, [&](const u8* at, const i8* q) {
    prefetch<0>(at);
    add_line(decode, at, q, partial);
    if (++lines == FLUSH) flush();
  });
  flush();
  const int32x4_t offset = vdupq_n_s32(a.sums[v]);
  unrolled<QUADS>([&](auto i) {
    int32x4_t sum = vsubq_s32(vpaddq_s32(sums[2 * i], sums[2 * i + 1]), offset);
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(sum), scale));
  });
}

void matmul_t5_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T5>(
      w, a, row0, row1, [&](i32 panel, const u8* data, i32, i32 v) { one_token(w, a, y, y_stride, panel, data, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_token<T5>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token;
}

}  // namespace edgellm
