// t2 and t2_group (layout: docs/FILE.md). A code is the weight + 1. One vector reads the stream once and multiplies codes
// in int16; many vectors share unpacked weights (tiles.h).
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 LINE_COLUMNS = 16;  // of a 64-byte line of two-bit codes
constexpr i32 HALF = 2;           // quads of half a panel
constexpr i32 FLUSH = 8;          // units, two lines each, of one int16 accumulation

// Sums in int16 of eight rows by four columns: register 2i + h has columns 0-3 of row 4i + 2h, then of row 4i + 2h + 1.
// Columns 4-7 of a line are multiplied where they lie, two bits up: that saves a shift and has sums of its own. All of this
// for half a panel is what 32 registers hold.
struct Codes {
  int16x8_t sum[2 * HALF];
  int16x8_t times4[2 * HALF];
};

// |code * q| <= 3 * 127, so the 16 lines of FLUSH units add at most 16 * 3 * 381 = 18288 to a sum and 16 * 4 * 381 = 24384 to
// a times4; all columns together reach 24384. FIRST: nothing has been added before.
template <bool FIRST>
[[gnu::always_inline]] inline void add_line(const u8* line, const i8* q, Codes& codes) {
  const uint8x16_t low = vdupq_n_u8(3), next = vdupq_n_u8(12);
  const Broadcast x = broadcast16(q);
  unrolled<HALF>([&](auto i) {
    uint8x16_t bytes = vld1q_u8(line + 16 * i);
    int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(bytes, low));
    int8x16_t w1 = vreinterpretq_s8_u8(vandq_u8(bytes, next));
    int8x16_t w2 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), low));
    int8x16_t w3 = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
    int16x8_t &s0 = codes.sum[2 * i], &s1 = codes.sum[2 * i + 1];
    int16x8_t &f0 = codes.times4[2 * i], &f1 = codes.times4[2 * i + 1];
    s0 = FIRST ? mul_low(w0, x.group[0]) : add_low(s0, w0, x.group[0]);
    s1 = FIRST ? mul_high(w0, x.group[0]) : add_high(s1, w0, x.group[0]);
    f0 = FIRST ? mul_low(w1, x.group[1]) : add_low(f0, w1, x.group[1]);
    f1 = FIRST ? mul_high(w1, x.group[1]) : add_high(f1, w1, x.group[1]);
    s0 = add_low(s0, w2, x.group[2]);
    s1 = add_high(s1, w2, x.group[2]);
    s0 = add_low(s0, w3, x.group[3]);
    s1 = add_high(s1, w3, x.group[3]);
  });
}

// N units of half a panel. `fetch` is the line, of every two, that this half prefetches for.
template <bool FIRST, i32 N>
[[gnu::always_inline]] inline void add_lines(const u8* half, const u8* fetch, const i8* q, Codes& codes) {
  unrolled<2 * N>([&](auto j) {
    if constexpr (j % 2 == 0) __builtin_prefetch(fetch + j * LINE + AHEAD);
    add_line<(FIRST && j == 0)>(half + j * LINE, q + j * LINE_COLUMNS, codes);
  });
}

// Up to FLUSH units, N at a time, into the sums of 16 rows, two lanes each.
template <i32 N>
[[gnu::always_inline]] inline void add_units(const u8* unit, const i8* q, i32 units, i32 (*sums)[8]) {
  for (i32 h = 0; h < 2; h++) {
    const u8* half = unit + h * (LINE / 2);
    const u8* fetch = unit + h * LINE;
    const i8* x = q;
    Codes codes;
    add_lines<true, N>(half, fetch, x, codes);
    for (i32 u = N; u < units; u += N) {
      half += N * 2 * LINE;
      fetch += N * 2 * LINE;
      x += N * GROUP;
      add_lines<false, N>(half, fetch, x, codes);
    }
    unrolled<HALF>([&](auto i) {
      i32* lanes = sums[h * HALF + i];
      int16x8_t low = vsraq_n_s16(codes.sum[2 * i], codes.times4[2 * i], 2);
      int16x8_t high = vsraq_n_s16(codes.sum[2 * i + 1], codes.times4[2 * i + 1], 2);
      vst1q_s32(lanes, vpadalq_s16(vld1q_s32(lanes), low));
      vst1q_s32(lanes + 4, vpadalq_s16(vld1q_s32(lanes + 4), high));
    });
  }
}

// One panel by one vector.
[[gnu::flatten]] void one_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  i32 sums[QUADS][8] = {};
  for (; units >= FLUSH; units -= FLUSH) {
    add_units<2>(unit, q, FLUSH, sums);
    unit += FLUSH * 2 * LINE;
    q += FLUSH * GROUP;
  }
  if (units > 0) add_units<1>(unit, q, units, sums);
  const int32x4_t offset = vdupq_n_s32(a.sums[v]);
  unrolled<QUADS>([&](auto i) {
    int32x4_t sum = vsubq_s32(vpaddq_s32(vld1q_s32(sums[i]), vld1q_s32(sums[i] + 4)), offset);
    float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v]);
    vst1q_f32(y + v * y_stride + panel * PANEL + 4 * i, vmulq_f32(vcvtq_f32_s32(sum), scale));
  });
}

// The sums of weight * q over one group of 32 columns, two lines, as f32. |sum of code * q| <= 16 * 381 = 6096 in a lane.
[[gnu::always_inline]] inline Lanes group_sums(const u8* lines, const i8* q, i32 sum_of_q) {
  const uint8x16_t low = vdupq_n_u8(3);
  int16x8_t sum[2 * QUADS];
  unrolled<2>([&](auto j) {
    const Broadcast x = broadcast16(q + j * LINE_COLUMNS);
    unrolled<QUADS>([&](auto i) {
      uint8x16_t bytes = vld1q_u8(lines + j * LINE + 16 * i);
      int8x16_t w0 = vreinterpretq_s8_u8(vandq_u8(bytes, low));
      int8x16_t w1 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 2), low));
      int8x16_t w2 = vreinterpretq_s8_u8(vandq_u8(vshrq_n_u8(bytes, 4), low));
      int8x16_t w3 = vreinterpretq_s8_u8(vshrq_n_u8(bytes, 6));
      int16x8_t &s0 = sum[2 * i], &s1 = sum[2 * i + 1];
      s0 = j == 0 ? mul_low(w0, x.group[0]) : add_low(s0, w0, x.group[0]);
      s1 = j == 0 ? mul_high(w0, x.group[0]) : add_high(s1, w0, x.group[0]);
      s0 = add_low(s0, w1, x.group[1]);
      s1 = add_high(s1, w1, x.group[1]);
      s0 = add_low(s0, w2, x.group[2]);
      s1 = add_high(s1, w2, x.group[2]);
      s0 = add_low(s0, w3, x.group[3]);
      s1 = add_high(s1, w3, x.group[3]);
    });
  });
  Lanes result;
  const int32x4_t offset = vdupq_n_s32(sum_of_q);
  unrolled<QUADS>([&](auto i) {
    int32x4_t s = vpaddlq_s16(vpaddq_s16(sum[2 * i], sum[2 * i + 1]));
    result.quad[i] = vcvtq_f32_s32(vsubq_s32(s, offset));
  });
  return result;
}

[[gnu::flatten]] void one_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* unit,
                                  i32 units, i32 v) {
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  const i64 group = v * static_cast<i64>(a.stride / GROUP);
  Lanes acc = all16(0);
  for (i32 u = 0; u < units; u++, unit += 2 * LINE, q += GROUP) {
    prefetch<0>(unit);
    prefetch<LINE>(unit);
    Lanes s = group_sums(unit, q, a.sums[group + u]);
    add_scaled(acc, s, a.scales[group + u]);
  }
  for (i32 i = 0; i < QUADS; i++)
    acc.quad[i] = vmulq_f32(acc.quad[i], row_scales(w, panel, i));
  store16(y + v * y_stride + panel * PANEL, acc);
}

constexpr i32 UNIT_GROUPS = 8, SCALE_BYTES = 64;  // of a t2_group unit

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
        prefetch<0>(lines);
        prefetch<LINE>(lines);
        Lanes s = group_sums(lines, q, *sums++);
        add_scaled(inner, s, *scales++);
      }
      const u8* weight_scales = unit + SCALE_BYTES / 2 * half;
      unrolled<QUADS>([&](auto i) { acc.quad[i] = vfmaq_f32(acc.quad[i], inner.quad[i], load_f16(weight_scales + 8 * i)); });
    }
    unit = lines;
  }
  store16(y + v * y_stride + panel * PANEL, acc);
}

// Unpacks `count` lines to the steps of a chunk from `step` on.
[[gnu::flatten]] inline void unpack_lines(const u8* lines, i32 count, Chunk& chunk, i32 step) {
  const uint8x16_t low = vdupq_n_u8(3);
  const int8x16_t one = vdupq_n_s8(1);
  for (i32 s = 0; s < count; s++) {
    unrolled<QUADS>([&](auto i) {
      uint8x16_t x = vld1q_u8(lines + s * LINE + 16 * i);
      uint8x16_t codes[4] = {vandq_u8(x, low), vandq_u8(vshrq_n_u8(x, 2), low), vandq_u8(vshrq_n_u8(x, 4), low),
                             vshrq_n_u8(x, 6)};
      int8x16_t parts[4];
      unrolled<4>([&](auto p) { parts[p] = vsubq_s8(vreinterpretq_s8_u8(codes[p]), one); });
      store_step(chunk, step + s, i, parts);
    });
  }
}

struct T2 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 128;
  static constexpr bool SMALL = true;
  static constexpr Inside SCALES = Inside::none;
  static void unpack(const u8* data, i32 columns, Chunk& chunk) { unpack_lines(data, columns / LINE_COLUMNS, chunk, 0); }
};

struct T2Group {
  static constexpr i32 UNIT = 256, UNIT_BYTES = 1088;
  static constexpr bool SMALL = true;
  static constexpr Inside SCALES = Inside::per_weight_group;

  static void unpack(const u8* unit, i32 columns, Chunk& chunk) {
    for (i32 k = 0; k < columns; k += UNIT, unit += UNIT_BYTES) {
      for (i32 i = 0; i < 2 * QUADS; i++) {
        vst1q_f32(&chunk.scales[k / GROUP + i / QUADS * (UNIT_GROUPS / 2)][4 * (i % QUADS)], load_f16(unit + 8 * i));
      }
      unpack_lines(unit + SCALE_BYTES, UNIT / LINE_COLUMNS, chunk, k / STEP);
    }
  }
};

void matmul_t2_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_token(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_token<T2>(w, a, y, y_stride, panel, v, vectors); });
}

void matmul_t2_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group32(w, a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_group32<T2>(w, a, y, y_stride, panel, v, vectors); });
}

void matmul_t2_group_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T2Group>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units, i32 v) { one_group_group32(a, y, y_stride, panel, data, units, v); },
      [&](i32 panel, i32 v, i32 vectors) { many_group32<T2Group>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_t2(Kernels& k) {
  k.matmul_t2_token = matmul_t2_token;
  k.matmul_t2_group32 = matmul_t2_group32;
  k.matmul_t2_group_group32 = matmul_t2_group_group32;
}

}  // namespace edgellm
