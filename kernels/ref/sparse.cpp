// i8_mask and i8_group: i8 without its zeros. A unit is 32 columns of 16 rows, the eight lines of an i8 unit.
// i8_mask: eight u64, line by line, bit b stands for byte b of the line (row b / 4, column 4j + b % 4); then the bytes whose bit
// is set, line after line, lowest bit first.
// i8_group: eight u16, bit r of line j stands for the columns 4j to 4j + 3 of row r; then those four bytes for each bit that is
// set, line after line, lowest bit first.
// How units follow each other: kernels/sparse.h. Sums are those of i8, with its bound.
#include "sparse.h"

#include "integer.h"

namespace edgellm {

using I8 = IntegerMatrix<i8_weight, SPARSE_LINES * 64>;

static void matmul_sparse(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for (i32 row = row0; row < row1; row += PANEL) {
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      f32* out = y + v * y_stride + row;
      i32 sums[PANEL] = {};
      const u8* unit = sparse_panel(w, row / PANEL);
      for (i32 c = 0; c < w.cols; c += SPARSE_COLUMNS) {
        u8 lines[SPARSE_LINES * 64];
        unit = unpack_unit(w, unit, lines);
        I8::add_unit(lines, q + c, sums);
      }
      for (i32 r = 0; r < PANEL; r++)
        out[r] = static_cast<f32>(sums[r]) * (a.scales[v] * row_scale(w, row + r));
    }
  }
}

// The mask of a line of four columns from `col` on.
static u64 mask_of(Format format, const i8* codes, i64 rows, i64 cols, i64 col) {
  u64 mask = 0;
  for (i64 r = 0; r < rows; r++) {
    for (i64 c = col; c < min(cols, col + 4); c++) {
      if (codes[r * cols + c]) mask |= u64{1} << (format == Format::I8_MASK ? 4 * r + c - col : r);
    }
  }
  return mask;
}

i64 sparse_panel_bytes(Format format, const i8* codes, i64 rows, i64 cols) {
  i64 items = 0;
  for (i64 col = 0; col < cols; col += 4)
    items += __builtin_popcountll(mask_of(format, codes, rows, cols, col));
  return align_up<i64>(units_of(cols, SPARSE_COLUMNS) * mask_bytes(format) + items * item_bytes(format), SPARSE_ALIGNMENT);
}

void pack_sparse_panel(Format format, const i8* codes, i64 rows, i64 cols, u8* out) {
  __builtin_memset(out, 0, static_cast<size_t>(sparse_panel_bytes(format, codes, rows, cols)));
  i32 size = item_bytes(format), span = mask_bytes(format) / SPARSE_LINES;
  for (i64 first = 0; first < cols; first += SPARSE_COLUMNS) {
    u8* item = out + mask_bytes(format);
    for (i64 col = first; col < min(cols, first + SPARSE_COLUMNS); col += 4) {
      u64 mask = mask_of(format, codes, rows, cols, col);
      __builtin_memcpy(out + (col - first) / 4 * span, &mask, static_cast<size_t>(span));
      for (; mask; mask &= mask - 1, item += size) {
        i64 at = __builtin_ctzll(mask) * size;  // in the line
        i64 row = at / 4, c = col + at % 4;
        __builtin_memcpy(item, codes + row * cols + c, static_cast<size_t>(min(i64{size}, cols - c)));
      }
    }
    out = item;
  }
}

void ref_sparse(Kernels& k) {
  k.matmul_i8_mask_token = matmul_sparse;
  k.matmul_i8_group_token = matmul_sparse;
}

}  // namespace edgellm
