// f32: a unit is 4 columns of 16 rows, 256 bytes: column after column, 16 rows each, little endian IEEE binary32.
#include "weights.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 4;
static constexpr i32 UNIT_BYTES = 256;

void pack_f32(const f32* values, i64 rows, i64 cols, u8* out) {
  for (i64 row = 0; row < align_up(rows, i64{PANEL}); row += PANEL) {
    for (i64 col = 0; col < align_up(cols, i64{UNIT_COLUMNS}); col++) {
      for (i64 r = row; r < row + PANEL; r++, out += sizeof(f32)) {
        f32 value = r < rows && col < cols ? values[r * cols + col] : 0.0f;
        __builtin_memcpy(out, &value, sizeof value);
      }
    }
  }
}

static void matmul_f32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 panel_bytes = units_of(w.cols, UNIT_COLUMNS) * UNIT_BYTES;
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * panel_bytes;
    for (i32 v = 0; v < a.count; v++) {
      const f32* x = a.x + i64{v} * a.stride;
      f32 acc[PANEL] = {};
      for (i32 c = 0; c < w.cols; c++) {
        for (i32 r = 0; r < PANEL; r++)
          acc[r] = fma32(f32_weight(panel, r, c), x[c], acc[r]);
      }
      __builtin_memcpy(y + v * y_stride + row, acc, sizeof acc);
    }
  }
}

void ref_f32(Kernels& k) {
  k.matmul_f32 = matmul_f32;
}

}  // namespace edgellm
