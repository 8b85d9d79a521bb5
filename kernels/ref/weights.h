// Where a weight lies in its panel and what it is worth: one accessor a format, for the plain loops of this folder. The
// layouts are the opening comments of f32.cpp, f16.cpp, i8.cpp, i4.cpp, t2.cpp, t2_group.cpp and t5.cpp.
#pragma once
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the file is little endian and read in place");

static inline u16 load_u16(const u8* bytes) {
  u16 value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

static inline f32 load_f32(const u8* bytes) {
  f32 value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

static inline i64 units_of(i64 cols, i64 unit) {
  return div_up(cols, unit);
}

// For packing: N codes of which `left` or all are there; for the others `out` keeps what it holds.
template <i32 N>
static inline void copy_codes(const i8* codes, i64 left, void* out) {
  if (left >= N) {
    __builtin_memcpy(out, codes, N);  // of a size that the compiler knows: one load and store
  } else if (left > 0) {
    __builtin_memcpy(out, codes, static_cast<size_t>(left));
  }
}

// Of four ternary codes, a byte each, the digits 0, 1, 2.
static inline u32 ternary_digits(u32 codes) {
  return ((codes & 0x03030303u) + 0x01010101u) & 0x03030303u;
}

// In all below: `unit` points at a unit of the format, r in [0, 16) is the row, c the column within the unit.
static inline f32 f32_weight(const u8* unit, i32 r, i32 c) {
  return load_f32(unit + (c * PANEL + r) * 4);
}

static inline f32 f16_weight(const u8* unit, i32 r, i32 c) {
  return f16_to_f32(load_u16(unit + (c * PANEL + r) * 2));
}

static inline i32 i8_weight(const u8* unit, i32 r, i32 c) {
  return static_cast<i8>(unit[(c / 4) * 64 + r * 4 + c % 4]);
}

static inline i32 i4_weight(const u8* unit, i32 r, i32 c) {
  i32 byte = unit[64 + (c / 8) * 64 + r * 4 + c % 4];
  return ((c & 4) ? byte >> 4 : byte & 15) - 8;
}

static inline f32 i4_scale(const u8* unit, i32 r, i32 c) {
  return f16_to_f32(load_u16(unit + (c / 32) * 32 + r * 2));
}

static inline i32 t2_weight(const u8* lines, i32 r, i32 c) {
  i32 byte = lines[(c / 16) * 64 + r * 4 + c % 4];
  return ((byte >> (c / 4 % 4 * 2)) & 3) - 1;
}

static inline f32 t2_group_scale(const u8* unit, i32 r, i32 c) {
  return f16_to_f32(load_u16(unit + (c / WEIGHT_GROUP) * 32 + r * 2));
}

static inline i32 t5_weight(const u8* line, i32 r, i32 c) {
  constexpr i32 POWERS[] = {1, 3, 9, 27, 81};
  return min<i32>(line[r * 4 + c % 4], 242) / POWERS[c / 4] % 3 - 1;
}

// Of i8, t2 and t5: one scale for all or one a row.
static inline f32 row_scale(const Matrix& w, i64 row) {
  return w.scales[w.scale == Scale::row ? row : 0];
}

}  // namespace edgellm
