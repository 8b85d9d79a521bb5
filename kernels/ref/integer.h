// Matrices of integers with a scale a tensor or a row, by int8 vectors: the plain loops that i8 and t2 share. They differ in
// how a weight lies in its unit of 32 columns.
#pragma once
#include "weights.h"

namespace edgellm {
namespace {

// weight(unit, r, c) is the integer of row r and column c of a unit of `BYTES` bytes.
template <i32 (*weight)(const u8* unit, i32 r, i32 c), i32 BYTES>
struct IntegerMatrix {
  static constexpr i32 UNIT_COLUMNS = GROUP;

  // sums[r] += the unit's weights times q[0..32).
  static void add_unit(const u8* unit, const i8* q, i32 sums[PANEL]) {
    for (i32 r = 0; r < PANEL; r++) {
      i32 sum = 0;
      for (i32 c = 0; c < UNIT_COLUMNS; c++)
        sum += weight(unit, r, c) * q[c];
      sums[r] += sum;
    }
  }

  static void matmul_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
    i64 units = units_of(w.cols, UNIT_COLUMNS);
    for (i32 row = row0; row < row1; row += PANEL) {
      const u8* panel = w.data + row / PANEL * units * BYTES;
      for (i32 v = 0; v < a.count; v++) {
        const i8* q = a.q + i64{v} * a.stride;
        f32* out = y + v * y_stride + row;
        i32 sums[PANEL] = {};
        for (i64 u = 0; u < units; u++)
          add_unit(panel + u * BYTES, q + u * UNIT_COLUMNS, sums);
        for (i32 r = 0; r < PANEL; r++)
          out[r] = static_cast<f32>(sums[r]) * (a.scales[v] * row_scale(w, row + r));
      }
    }
  }

  static void matmul_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
    i64 units = units_of(w.cols, UNIT_COLUMNS);
    for (i32 row = row0; row < row1; row += PANEL) {
      const u8* panel = w.data + row / PANEL * units * BYTES;
      for (i32 v = 0; v < a.count; v++) {
        const i8* q = a.q + i64{v} * a.stride;
        const f32* scales = a.scales + i64{v} * (a.stride / GROUP);
        f32* out = y + v * y_stride + row;
        f32 acc[PANEL] = {};
        for (i64 u = 0; u < units; u++) {
          i32 sums[PANEL] = {};
          add_unit(panel + u * BYTES, q + u * UNIT_COLUMNS, sums);
          for (i32 r = 0; r < PANEL; r++)
            acc[r] = fma32(static_cast<f32>(sums[r]), scales[u], acc[r]);
        }
        for (i32 r = 0; r < PANEL; r++)
          out[r] = acc[r] * row_scale(w, row + r);
      }
    }
  }
};

}  // namespace
}  // namespace edgellm
