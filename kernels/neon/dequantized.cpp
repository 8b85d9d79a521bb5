// Any format by f32 vectors: 32 columns of a panel are made f32 once and meet all vectors.
#include "float_tiles.h"
#include "sparse.h"
#include "t5.h"

namespace edgellm {
namespace {

constexpr i32 COLUMNS = 32;  // dequantised at a time: 2 KiB
constexpr i32 VECTORS = 32;  // that share them

struct Weights {
  alignas(64) f32 column[COLUMNS][PANEL];
};

struct Source {
  const Weights* weights;
  Lanes column(i32 c) const { return load16(weights->column[c]); }
};

inline Lanes load_row_scales(const Matrix& w, i32 panel) {
  return {{row_scales(w, panel, 0), row_scales(w, panel, 1), row_scales(w, panel, 2), row_scales(w, panel, 3)}};
}

// The integers of a column by the scales of their rows.
inline void scale_column(int8x16_t integers, const Lanes& scales, f32* column) {
  int16x8_t low = vmovl_s8(vget_low_s8(integers)), high = vmovl_high_s8(integers);
  int32x4_t wide[QUADS] = {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)),
                           vmovl_high_s16(high)};
  for (i32 i = 0; i < QUADS; i++)
    vst1q_f32(column + 4 * i, vmulq_f32(vcvtq_f32_s32(wide[i]), scales.quad[i]));
}

// Lines as four columns of 16 bytes; a byte holds 8 / BITS codes, four columns apart. Weight = code - OFFSET.
template <i32 BITS, i32 OFFSET>
inline void unpack_lines(const u8* lines, const Lanes& scales, Weights& out) {
  constexpr i32 LINE_COLUMNS = 4 * 8 / BITS;
  const uint8x16_t mask = vdupq_n_u8((1 << BITS) - 1);
  for (i32 first = 0; first < COLUMNS; first += LINE_COLUMNS, lines += LINE) {
    const uint8x16x4_t bytes = vld4q_u8(lines);
    for (i32 c = 0; c < LINE_COLUMNS; c++) {
      uint8x16_t codes = vandq_u8(vshlq_u8(bytes.val[c % 4], vdupq_n_s8(static_cast<i8>(-BITS * (c / 4)))), mask);
      scale_column(vsubq_s8(vreinterpretq_s8_u8(codes), vdupq_n_s8(OFFSET)), scales, out.column[first + c]);
    }
  }
}

// Units of t5 end anywhere: all that hold a column of [first, first + n) are decoded.
inline void unpack_t5(const u8* panel, const Lanes& scales, i32 first, i32 n, Weights& out) {
  const T5Decoder decode;
  for (i32 unit = first / T5_COLUMNS; unit * T5_COLUMNS < first + n; unit++) {
    const uint8x16x4_t bytes = vld4q_u8(panel + unit * LINE);
    for (i32 c = 0; c < 4; c++) {
      const Digits digits = decode(bytes.val[c]);
      for (i32 p = 0; p < 5; p++) {
        const i32 column = unit * T5_COLUMNS + 4 * p + c - first;
        if (column >= 0 && column < n) scale_column(vsubq_s8(digits.digit[p], vdupq_n_s8(1)), scales, out.column[column]);
      }
    }
  }
}

// Columns [first, first + n) of a panel that begins at `data`; first is a multiple of COLUMNS. Of the formats with integers
// but t5 all 32 columns are there, whatever n.
[[gnu::flatten]] void unpack(const Matrix& w, i32 panel, const u8* data, i32 first, i32 n, Weights& out) {
  const i32 columns = unit_columns(w.format), c = first % columns;
  const u8* unit = data + static_cast<i64>(first / columns) * unit_bytes(w.format);
  switch (w.format) {
    case Format::F32:
      return static_cast<void>(__builtin_memcpy(out.column, unit, static_cast<u64>(n) * sizeof out.column[0]));
    case Format::F16:
      for (i32 i = 0; i < n; i++)
        store16(out.column[i], load16_f16(unit + i * PANEL * i64{sizeof(u16)}));
      return;
    case Format::I8:
      return unpack_lines<8, 0>(unit, load_row_scales(w, panel), out);
    case Format::I8_MASK:
    case Format::I8_GROUP: {
      u8 lines[SPARSE_LINES * LINE];
      unpack_unit(w, find_unit(w, panel, first / SPARSE_COLUMNS), lines);
      return unpack_lines<8, 0>(lines, load_row_scales(w, panel), out);
    }
    case Format::I4:
      return unpack_lines<4, 8>(unit + 64 + c / 8 * LINE, load16_f16(unit + c / GROUP * 32), out);
    case Format::T2:
      return unpack_lines<2, 1>(unit, load_row_scales(w, panel), out);
    case Format::T2_GROUP:
      return unpack_lines<2, 1>(unit + 64 + c / 16 * LINE, load16_f16(unit + c / WEIGHT_GROUP * 32), out);
    case Format::T5:
      return unpack_t5(data, load_row_scales(w, panel), first, n, out);
  }
}

// acc[v] += columns [first, first + n) by T vectors from v0 on.
template <i32 T>
inline void add_tile(const Weights& weights, i32 n, const f32* x, i64 stride, f32 (*acc)[PANEL]) {
  const Source source[1] = {{&weights}};
  Lanes sums[T];
  unrolled<T>([&](auto t) { sums[t] = load16(acc[t]); });
  add_columns<1, T, Source>(source, n, x, stride, sums);
  unrolled<T>([&](auto t) { store16(acc[t], sums[t]); });
}

[[gnu::flatten]] void panel_by_vectors(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                       i32 vectors) {
  const i64 panel_bytes = static_cast<i64>(div_up(w.cols, unit_columns(w.format))) * unit_bytes(w.format);
  alignas(64) f32 acc[VECTORS][PANEL] = {};
  Weights weights;
  for (i32 first = 0; first < w.cols; first += COLUMNS) {
    const i32 n = min(COLUMNS, w.cols - first);
    unpack(w, panel, w.data + panel * panel_bytes, first, n, weights);
    const f32* x = a.x + v0 * static_cast<i64>(a.stride) + first;
    i32 v = 0;
    for (; vectors - v >= 4; v += 4)
      add_tile<4>(weights, n, x + v * i64{a.stride}, a.stride, acc + v);
    for (; v < vectors; v++)
      add_tile<1>(weights, n, x + v * i64{a.stride}, a.stride, acc + v);
  }
  for (i32 v = 0; v < vectors; v++)
    store16(y + (v0 + v) * y_stride + panel * PANEL, load16(acc[v]));
}

void matmul_dequantized(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    for (i32 v = 0; v < a.count; v += VECTORS)
      panel_by_vectors(w, a, y, y_stride, panel, v, min(VECTORS, a.count - v));
  }
}

}  // namespace

void neon_dequantized(Kernels& k) {
  k.matmul_dequantized = matmul_dequantized;
}

}  // namespace edgellm
