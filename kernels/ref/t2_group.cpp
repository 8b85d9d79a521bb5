// t2_group: a unit is 256 columns of 16 rows, 1088 bytes: 16 f16 scales of columns 0 to 127 (one a row), 16 of columns 128 to
// 255, then 16 lines of 64 bytes as in t2.cpp: in line j, byte 4r + c holds columns 16j + c, + 4, + 8 and + 12 of row r.
// Value (code - 1) * scale; code 3 is +2. |sum| of 32 channels <= 2 * 127 * 32.
#include "weights.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 256;
static constexpr i32 UNIT_BYTES = 1088;
static constexpr i32 SCALE_BYTES = 64;
static_assert(UNIT_COLUMNS == 2 * WEIGHT_GROUP);

void pack_t2_group(const i8* codes, const u16* group_scales, i64 rows, i64 cols, u8* out) {
  i64 units = units_of(cols, UNIT_COLUMNS), groups = units_of(cols, WEIGHT_GROUP);
  for (i64 row = 0; row < align_up(rows, i64{PANEL}); row++) {
    for (i64 u = 0; u < units; u++) {
      u8* unit = out + (row / PANEL * units + u) * UNIT_BYTES;
      i64 r = row % PANEL;
      for (i64 g = 0; g < 2; g++) {
        u16 scale = row < rows && u * 2 + g < groups ? group_scales[row * groups + u * 2 + g] : u16{0};
        __builtin_memcpy(unit + g * 32 + r * 2, &scale, sizeof scale);
      }
      for (i64 line = 0; line < UNIT_COLUMNS / 16; line++) {
        i64 col = u * UNIT_COLUMNS + line * 16;
        u32 quads[4] = {}, digits = 0;
        copy_codes<16>(codes + row * cols + col, row < rows ? cols - col : 0, quads);
        for (i32 i = 0; i < 4; i++)
          digits |= ternary_digits(quads[i]) << 2 * i;
        __builtin_memcpy(unit + SCALE_BYTES + line * 64 + r * 4, &digits, sizeof digits);
      }
    }
  }
}

// The weights of one weight group times q[0..128): exact sums of 32 channels, folded by the activations' scales.
static f32 inner_sum(const u8* lines, i32 r, const i8* q, const f32* scales) {
  f32 inner = 0;
  for (i32 g = 0; g < WEIGHT_GROUP / GROUP; g++) {
    i32 sum = 0;
    for (i32 c = g * GROUP; c < (g + 1) * GROUP; c++)
      sum += t2_weight(lines, r, c) * q[c];
    inner = fma32(static_cast<f32>(sum), scales[g], inner);
  }
  return inner;
}

static void matmul_t2_group_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, UNIT_COLUMNS);
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * units * UNIT_BYTES;
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      const f32* scales = a.scales + i64{v} * (a.stride / GROUP);
      f32 acc[PANEL] = {};
      for (i64 g = 0; g < units * 2; g++) {  // weight groups
        const u8* unit = panel + g / 2 * UNIT_BYTES;
        i32 first = static_cast<i32>(g % 2) * WEIGHT_GROUP;
        const u8* lines = unit + SCALE_BYTES + first / 16 * 64;
        for (i32 r = 0; r < PANEL; r++) {
          f32 inner = inner_sum(lines, r, q + g * WEIGHT_GROUP, scales + g * (WEIGHT_GROUP / GROUP));
          acc[r] = fma32(inner, t2_group_scale(unit, r, first), acc[r]);
        }
      }
      __builtin_memcpy(y + v * y_stride + row, acc, sizeof acc);
    }
  }
}

void ref_t2_group(Kernels& k) {
  k.matmul_t2_group_group32 = matmul_t2_group_group32;
}

}  // namespace edgellm
