// i4: a unit is 64 columns of 16 rows, 576 bytes: 16 f16 scales of columns 0 to 31 (one a row), 16 of columns 32 to 63, then
// 8 lines of 64 bytes; in line j, byte 4r + c holds column 8j + c of row r in its low and column 8j + 4 + c in its high four
// bits. Value (code - 8) * scale. |sum| of a group <= 8 * 127 * 32.
#include "weights.h"

namespace edgellm {

static constexpr i32 UNIT_COLUMNS = 64;
static constexpr i32 UNIT_BYTES = 576;
static constexpr i32 SCALE_BYTES = 64;

void pack_i4(const i8* codes, const u16* group_scales, i64 rows, i64 cols, u8* out) {
  i64 units = units_of(cols, UNIT_COLUMNS), groups = units_of(cols, GROUP);
  for (i64 row = 0; row < align_up(rows, i64{PANEL}); row++) {
    for (i64 u = 0; u < units; u++) {
      u8* unit = out + (row / PANEL * units + u) * UNIT_BYTES;
      i64 r = row % PANEL;
      for (i64 g = 0; g < 2; g++) {
        u16 scale = row < rows && u * 2 + g < groups ? group_scales[row * groups + u * 2 + g] : u16{0};
        __builtin_memcpy(unit + g * 32 + r * 2, &scale, sizeof scale);
      }
      for (i64 line = 0; line < UNIT_COLUMNS / 8; line++) {
        i64 col = u * UNIT_COLUMNS + line * 8;
        u32 quads[2] = {};
        copy_codes<8>(codes + row * cols + col, row < rows ? cols - col : 0, quads);
        u32 nibbles = ((quads[0] & 0x0f0f0f0fu) | (quads[1] & 0x0f0f0f0fu) << 4) ^ 0x88888888u;  // each code + 8
        __builtin_memcpy(unit + SCALE_BYTES + line * 64 + r * 4, &nibbles, sizeof nibbles);
      }
    }
  }
}

static void matmul_i4_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i64 units = units_of(w.cols, UNIT_COLUMNS);
  for (i32 row = row0; row < row1; row += PANEL) {
    const u8* panel = w.data + row / PANEL * units * UNIT_BYTES;
    for (i32 v = 0; v < a.count; v++) {
      const i8* q = a.q + i64{v} * a.stride;
      const f32* scales = a.scales + i64{v} * (a.stride / GROUP);
      f32 acc[PANEL] = {};
      for (i64 g = 0; g < units * 2; g++) {
        const u8* unit = panel + g / 2 * UNIT_BYTES;
        i32 first = static_cast<i32>(g % 2) * GROUP;
        for (i32 r = 0; r < PANEL; r++) {
          i32 sum = 0;
          for (i32 c = 0; c < GROUP; c++)
            sum += i4_weight(unit, r, first + c) * q[g * GROUP + c];
          acc[r] = fma32(static_cast<f32>(sum), i4_scale(unit, r, first) * scales[g], acc[r]);
        }
      }
      __builtin_memcpy(y + v * y_stride + row, acc, sizeof acc);
    }
  }
}

void ref_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32;
}

}  // namespace edgellm
