// Any format as f32: one weight's value is f32(integer) * scale, rounded once. Embedding rows and matmuls with f32 vectors.
#include "weights.h"

namespace edgellm {

// Weight (16 * panel + r, col); `data` is where the matrix begins, `units` the units of a panel.
static f32 value(const Matrix& w, i64 units, i64 panel, i32 r, i32 col) {
  i32 columns = unit_columns(w.format), c = col % columns;
  const u8* unit = w.data + (panel * units + col / columns) * unit_bytes(w.format);
  switch (w.format) {
    case Format::F32:
      return f32_weight(unit, r, c);
    case Format::F16:
      return f16_weight(unit, r, c);
    case Format::I8:
      return static_cast<f32>(i8_weight(unit, r, c)) * row_scale(w, panel * PANEL + r);
    case Format::I4:
      return static_cast<f32>(i4_weight(unit, r, c)) * i4_scale(unit, r, c);
    case Format::T2:
      return static_cast<f32>(t2_weight(unit, r, c)) * row_scale(w, panel * PANEL + r);
    case Format::T2_GROUP:
      return static_cast<f32>(t2_weight(unit + 64, r, c)) * t2_group_scale(unit, r, c);
  }
  __builtin_unreachable();  // files are checked for known formats
}

static void matmul_dequantized(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, unit_columns(w.format));
  for (i32 row = row0; row < row1; row += PANEL) {
    for (i32 v = 0; v < a.count; v++) {
      const f32* x = a.x + i64{v} * a.stride;
      f32 acc[PANEL] = {};
      for (i32 c = 0; c < w.cols; c++) {
        for (i32 r = 0; r < PANEL; r++)
          acc[r] = fma32(value(w, units, row / PANEL, r, c), x[c], acc[r]);
      }
      __builtin_memcpy(y + v * y_stride + row, acc, sizeof acc);
    }
  }
}

static void row(const Matrix& w, i32 index, f32* out) {
  i64 units = units_of(w.cols, unit_columns(w.format));
  for (i32 c = 0; c < w.cols; c++)
    out[c] = value(w, units, index / PANEL, index % PANEL, c);
}

void ref_dequantized(Kernels& k) {
  k.matmul_dequantized = matmul_dequantized;
  k.row = row;
}

}  // namespace edgellm
