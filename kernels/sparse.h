// How a sparse matrix is walked, the same for every kernel set. The data begin with ceil(rows / 16) + 1 u32: where each panel
// begins, and where the last one ends, in units of 64 bytes; zeros to a multiple of 64. Units of a panel follow each other
// without a gap; a unit is its bit masks and then what they say is there (kernels/ref/sparse.cpp). Behind the last panel are
// SPARSE_TAIL bytes, as many as a unit can have: a unit that would begin among them begins before them. So masks that lie lead to
// other numbers, the same everywhere, and nowhere else.
#pragma once
#include "kernels.h"

namespace edgellm {

constexpr i32 SPARSE_COLUMNS = 32;  // of a unit
constexpr i32 SPARSE_LINES = 8;     // of 64 bytes, a unit unpacked: the unit of i8
constexpr i32 SPARSE_TAIL = 576;    // 8 masks of 64 bits, 512 weights
constexpr i32 SPARSE_ALIGNMENT = 64;

static inline i64 sparse_table_bytes(i64 rows) {
  return align_up<i64>((div_up(rows, i64{PANEL}) + 1) * i64{sizeof(u32)}, SPARSE_ALIGNMENT);
}

static inline const u8* sparse_panel(const Matrix& w, i32 panel) {
  return w.data + reinterpret_cast<const u32*>(w.data)[panel] * i64{SPARSE_ALIGNMENT};
}

// Where the last unit may begin.
static inline const u8* sparse_end(const Matrix& w) {
  return w.data + (w.bytes - SPARSE_TAIL);
}

// Bytes of a unit's masks.
static inline i32 mask_bytes(Format format) {
  return SPARSE_LINES * (format == Format::I8_MASK ? 8 : 2);
}

// Line j's mask.
static inline u64 line_mask(Format format, const u8* masks, i32 j) {
  u64 mask = 0;
  i32 size = mask_bytes(format) / SPARSE_LINES;
  __builtin_memcpy(&mask, masks + j * size, static_cast<size_t>(size));
  return mask;
}

// What one bit of a mask stands for.
static inline i32 item_bytes(Format format) {
  return format == Format::I8_MASK ? 1 : 4;
}

// Where the next unit begins.
static inline const u8* next_unit(const Matrix& w, const u8* unit) {
  i32 items = 0;
  for (i32 j = 0; j < SPARSE_LINES; j++)
    items += __builtin_popcountll(line_mask(w.format, unit, j));
  return min(unit + mask_bytes(w.format) + items * item_bytes(w.format), sparse_end(w));
}

// Unit `index` of a panel, found from the panel's first on.
static inline const u8* find_unit(const Matrix& w, i32 panel, i32 index) {
  const u8* unit = sparse_panel(w, panel);
  while (index--)
    unit = next_unit(w, unit);
  return unit;
}

// Makes a unit dense, a unit of i8; returns the next.
static inline const u8* unpack_unit(const Matrix& w, const u8* unit, u8 (&lines)[SPARSE_LINES * 64]) {
  const u8* item = unit + mask_bytes(w.format);
  i32 size = item_bytes(w.format);
  __builtin_memset(lines, 0, sizeof lines);
  for (i32 j = 0; j < SPARSE_LINES; j++) {
    for (u64 mask = line_mask(w.format, unit, j); mask; mask &= mask - 1, item += size)
      __builtin_memcpy(lines + j * 64 + __builtin_ctzll(mask) * size, item, static_cast<size_t>(size));
  }
  return min(item, sparse_end(w));
}

}  // namespace edgellm
