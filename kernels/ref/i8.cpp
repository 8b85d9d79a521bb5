// i8: a unit is 32 columns of 16 rows, 512 bytes: 8 lines of 64 bytes; in line j, byte 4r + c is column 4j + c of row r.
// Two's complement; the converter writes -127 to 127, -128 in a hostile file means -128. One f32 scale a row lies beside the
// panels. |sum| <= 128 * 127 * 131072 = 2,130,706,432 < 2^31.
#include "integer.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 32;
static constexpr i32 UNIT_BYTES = 512;
static_assert(UNIT_COLUMNS == GROUP);

void pack_i8(const i8* codes, i64 rows, i64 cols, u8* out) {
  __builtin_memset(out, 0, static_cast<size_t>(matrix_bytes(Format::I8, rows, cols)));
  i64 units = units_of(cols, UNIT_COLUMNS);
  for (i64 row = 0; row < rows; row++) {
    u8* line = out + row / PANEL * units * UNIT_BYTES + row % PANEL * 4;
    for (i64 col = 0; col < cols; col += 4, line += 64)
      copy_codes<4>(codes + row * cols + col, cols - col, line);
  }
}

using I8 = IntegerMatrix<i8_weight, UNIT_BYTES>;

void ref_i8(Kernels& k) {
  k.matmul_i8_token = I8::matmul_token;
  k.matmul_i8_group32 = I8::matmul_group32;
}

}  // namespace edgellm
