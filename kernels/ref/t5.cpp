// t5: a unit is a line of 64 bytes, 20 columns of 16 rows; byte 4r + c holds columns c, c + 4, c + 8, c + 12 and c + 16 of row r
// as five digits to the base of 3, the first worth 1. Value (digit - 1) * scale. Bytes 243 to 255, which no converter writes,
// are read as 242. One f32 scale for the tensor or one a row lies beside the panels.
// |sum| <= 127 * 131072 < 2^31.
#include "weights.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 20;
static constexpr i32 UNIT_BYTES = 64;

void pack_t5(const i8* codes, i64 rows, i64 cols, u8* out) {
  constexpr u32 POWERS[] = {1, 3, 9, 27, 81};
  __builtin_memset(out, 121, static_cast<size_t>(matrix_bytes(Format::T5, rows, cols)));  // five digits 1: weights 0
  i64 units = units_of(cols, UNIT_COLUMNS);
  for (i64 row = 0; row < rows; row++) {
    u8* line = out + row / PANEL * units * UNIT_BYTES + row % PANEL * 4;
    for (i64 col = 0; col < cols; col += UNIT_COLUMNS, line += UNIT_BYTES) {
      u32 quads[5] = {}, bytes = 0;
      copy_codes<UNIT_COLUMNS>(codes + row * cols + col, cols - col, quads);
      for (i32 i = 0; i < 5; i++)
        bytes += ternary_digits(quads[i]) * POWERS[i];  // at most 242 a byte
      __builtin_memcpy(line, &bytes, sizeof bytes);
    }
  }
}

static void matmul_t5_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, UNIT_COLUMNS);
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * units * UNIT_BYTES;
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      f32* out = y + v * y_stride + row;
      for (i32 r = 0; r < PANEL; r++) {
        i32 sum = 0;
        for (i32 c = 0; c < w.cols; c++)
          sum += t5_weight(panel + c / UNIT_COLUMNS * UNIT_BYTES, r, c % UNIT_COLUMNS) * q[c];
        out[r] = static_cast<f32>(sum) * (a.scales[v] * row_scale(w, row + r));
      }
    }
  }
}

void ref_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token;
}

}  // namespace edgellm
