// Any format as f32: one weight's value is f32(integer) * scale, rounded once. Embedding rows and matmuls with f32 vectors.
#include "sparse.h"

#include "weights.h"

namespace edgellm {

// Weight (16 * panel + r, column c of `unit`); units of sparse formats have been made dense.
static f32 value(const Matrix& w, const u8* unit, i64 panel, i32 r, i32 c) {
  switch (w.format) {
    case Format::F32:
      return f32_weight(unit, r, c);
    case Format::F16:
      return f16_weight(unit, r, c);
    case Format::I8:
    case Format::I8_MASK:
    case Format::I8_GROUP:
      return static_cast<f32>(i8_weight(unit, r, c)) * row_scale(w, panel * PANEL + r);
    case Format::I4:
      return static_cast<f32>(i4_weight(unit, r, c)) * i4_scale(unit, r, c);
    case Format::T2:
      return static_cast<f32>(t2_weight(unit, r, c)) * row_scale(w, panel * PANEL + r);
    case Format::T2_GROUP:
      return static_cast<f32>(t2_weight(unit + 64, r, c)) * t2_group_scale(unit, r, c);
    case Format::T5:
      return static_cast<f32>(t5_weight(unit, r, c)) * row_scale(w, panel * PANEL + r);
  }
  __builtin_unreachable();  // files are checked for known formats
}

// body(column, unit, column within the unit) for the true columns of a panel, in order.
template <class Body>
static void for_columns(const Matrix& w, i32 panel, Body&& body) {
  const i32 columns = unit_columns(w.format);
  const u8* at =
      sparse(w.format) ? sparse_panel(w, panel) : w.data + panel * units_of(w.cols, columns) * unit_bytes(w.format);
  for (i32 first = 0; first < w.cols; first += columns) {
    u8 lines[SPARSE_LINES * 64];
    const u8* unit = sparse(w.format) ? lines : at;
    at = sparse(w.format) ? unpack_unit(w, at, lines) : at + unit_bytes(w.format);
    for (i32 c = first; c < min(w.cols, first + columns); c++)
      body(c, unit, c - first);
  }
}

static void matmul_dequantized(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for (i32 row = row0; row < row1; row += PANEL) {
    for (i32 v = 0; v < a.count; v++) {
      const f32* x = a.x + i64{v} * a.stride;
      f32 acc[PANEL] = {};
      for_columns(w, row / PANEL, [&](i32 column, const u8* unit, i32 c) {
        for (i32 r = 0; r < PANEL; r++)
          acc[r] = fma32(value(w, unit, row / PANEL, r, c), x[column], acc[r]);
      });
      __builtin_memcpy(y + v * y_stride + row, acc, sizeof acc);
    }
  }
}

static void row(const Matrix& w, i32 index, f32* out) {
  for_columns(w, index / PANEL,
              [&](i32 column, const u8* unit, i32 c) { out[column] = value(w, unit, index / PANEL, index % PANEL, c); });
}

void ref_dequantized(Kernels& k) {
  k.matmul_dequantized = matmul_dequantized;
  k.row = row;
}

}  // namespace edgellm
