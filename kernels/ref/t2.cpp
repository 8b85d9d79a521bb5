// t2: a unit is 32 columns of 16 rows, 128 bytes: 2 lines of 64 bytes; in line j, byte 4r + c holds columns 16j + c, + 4, + 8
// and + 12 of row r in bits 0-1, 2-3, 4-5 and 6-7. Value (code - 1) * scale: codes 0, 1, 2 are -1, 0, +1; code 3, which no
// converter writes, is +2. One f32 scale for the tensor or one a row lies beside the panels.
// |sum| <= 2 * 127 * 131072 < 2^31.
#include "integer.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 32;
static constexpr i32 UNIT_BYTES = 128;
static_assert(UNIT_COLUMNS == GROUP);

void pack_t2(const i8* codes, i64 rows, i64 cols, u8* out) {
  __builtin_memset(out, 0x55, static_cast<size_t>(matrix_bytes(Format::T2, rows, cols)));  // digit 1 is weight 0
  i64 units = units_of(cols, UNIT_COLUMNS);
  for (i64 row = 0; row < rows; row++) {
    u8* line = out + row / PANEL * units * UNIT_BYTES + row % PANEL * 4;
    for (i64 col = 0; col < cols; col += 16, line += 64) {
      u32 quads[4] = {};
      copy_codes<16>(codes + row * cols + col, cols - col, quads);
      u32 digits = 0;
      for (i32 i = 0; i < 4; i++)
        digits |= ternary_digits(quads[i]) << 2 * i;
      __builtin_memcpy(line, &digits, sizeof digits);
    }
  }
}

using T2 = IntegerMatrix<t2_weight, UNIT_BYTES>;

void ref_t2(Kernels& k) {
  k.matmul_t2_token = T2::matmul_token;
  k.matmul_t2_group32 = T2::matmul_group32;
}

}  // namespace edgellm
