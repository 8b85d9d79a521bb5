// i8: a unit is 32 columns of 16 rows, 512 bytes: 8 lines of 64 bytes; in line j, byte 4r + c is column 4j + c of row r.
// Two's complement; the converter writes -127 to 127, -128 in a hostile file means -128. One f32 scale a row lies beside the
// panels. |sum| <= 128 * 127 * 131072 = 2,130,706,432 < 2^31.
#include "weights.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 32;
static constexpr i32 UNIT_BYTES = 512;
static_assert(UNIT_COLUMNS == GROUP);

void pack_i8(const i8* codes, i64 rows, i64 cols, u8* out) {
  __builtin_memset(out, 0, static_cast<size_t>(matrix_bytes(Format::I8, rows, cols)));
  i64 units = units_of(cols, UNIT_COLUMNS);
  for (i64 row = 0; row < rows; row++) {
    for (i64 col = 0; col < cols; col++) {
      u8* unit = out + (row / PANEL * units + col / UNIT_COLUMNS) * UNIT_BYTES;
      i64 c = col % UNIT_COLUMNS;
      unit[c / 4 * 64 + row % PANEL * 4 + c % 4] = static_cast<u8>(codes[row * cols + col]);
    }
  }
}

// sums[r] += the unit's weights times q[0..32).
static void add_unit(const u8* unit, const i8* q, i32 sums[PANEL]) {
  for (i32 r = 0; r < PANEL; r++) {
    i32 sum = 0;
    for (i32 c = 0; c < UNIT_COLUMNS; c++)
      sum += i8_weight(unit, r, c) * q[c];
    sums[r] += sum;
  }
}

static void matmul_i8_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, UNIT_COLUMNS);
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * units * UNIT_BYTES;
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      f32* out = y + v * y_stride + row;
      i32 sums[PANEL] = {};
      for (i64 u = 0; u < units; u++)
        add_unit(panel + u * UNIT_BYTES, q + u * UNIT_COLUMNS, sums);
      for (i32 r = 0; r < PANEL; r++)
        out[r] = static_cast<f32>(sums[r]) * (a.scales[v] * row_scale(w, row + r));
    }
  }
}

static void matmul_i8_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, UNIT_COLUMNS);
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * units * UNIT_BYTES;
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      const f32* scales = a.scales + i64{v} * (a.stride / GROUP);
      f32* out = y + v * y_stride + row;
      f32 acc[PANEL] = {};
      for (i64 u = 0; u < units; u++) {
        i32 sums[PANEL] = {};
        add_unit(panel + u * UNIT_BYTES, q + u * UNIT_COLUMNS, sums);
        for (i32 r = 0; r < PANEL; r++)
          acc[r] = fma32(static_cast<f32>(sums[r]), scales[u], acc[r]);
      }
      for (i32 r = 0; r < PANEL; r++)
        out[r] = acc[r] * row_scale(w, row + r);
    }
  }
}

void ref_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token;
  k.matmul_i8_group32 = matmul_i8_group32;
}

}  // namespace edgellm
