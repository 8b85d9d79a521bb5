// i8_mask and i8_group (layout: kernels/ref/sparse.cpp) as lines of i8 in registers, two lines at a time. Tables say which item
// goes where; a place past the items loaded gives 0.
#pragma once
#include "neon/lanes.h"
#include "sparse.h"

namespace edgellm {
namespace {

using Lines = int8x16_t[2][QUADS];

// For eight bits of a mask: where the bytes of each four come from, and how many bytes there are.
struct Places {
  alignas(16) u8 of[2][256][16];  // of the lower and the upper four bits
  u8 bytes[256];
};
constexpr Places PLACES = [] {
  Places places = {};
  for (i32 mask = 0; mask < 256; mask++) {
    i32 next = 0;
    for (i32 b = 0; b < 32; b++)
      places.of[b / 16][mask][b % 16] = static_cast<u8>(mask >> b / 4 & 1 ? next++ : 255);
    places.bytes[mask] = static_cast<u8>(next);
  }
  return places;
}();

struct Fours {
  static constexpr i32 MASK = 2;  // bytes, of a line
  const u8* low = PLACES.of[0][0];
  const u8* high = PLACES.of[1][0];
  const u8* bytes = PLACES.bytes;

  // Hides what they point to, so that a compiler keeps them in registers.
  [[gnu::always_inline]] Fours() { asm("" : "+r"(low), "+r"(high), "+r"(bytes)); }

  // As an instruction, for compilers shift the mask by another.
  [[gnu::always_inline]] static uint8x16_t entry(const u8* table, u64 mask) {
    uint8x16_t bytes;
    asm("ldr %q0, [%1, %2, lsl #4]" : "=w"(bytes) : "r"(table), "r"(mask));
    return bytes;
  }

  [[gnu::always_inline]] void expand(const u8* masks, const u8*& item, Lines& lines) const {
    unrolled<4>([&](auto h) {  // half lines
      const u64 mask = masks[h];
      const uint8x16x2_t fours = vld1q_u8_x2(item);
      int8x16_t(&line)[QUADS] = lines[h / 2];
      line[h % 2 * 2] = vreinterpretq_s8_u8(vqtbl2q_u8(fours, entry(low, mask)));
      line[h % 2 * 2 + 1] = vreinterpretq_s8_u8(vqtbl2q_u8(fours, entry(high, mask)));
      item += bytes[mask];
    });
  }
};

// For the four bits of a row: how many are below each column's, or 128 where its own is not set.
struct Ranks {
  alignas(16) u8 of[4][16];
};
constexpr Ranks RANKS = [] {
  Ranks ranks = {};
  for (i32 mask = 0; mask < 16; mask++) {
    for (i32 column = 0, set = 0; column < 4; column++)
      ranks.of[column][mask] = static_cast<u8>(mask >> column & 1 ? set++ : 128);
  }
  return ranks;
}();

struct Bytes {
  static constexpr i32 MASK = 8;

  // Each byte plus those below it in its line.
  [[gnu::always_inline]] static uint8x16_t running(uint8x16_t bytes) {
    uint64x2_t sum = vreinterpretq_u64_u8(bytes);
    sum = vaddq_u64(sum, vshlq_n_u64(sum, 8));
    sum = vaddq_u64(sum, vshlq_n_u64(sum, 16));
    return vreinterpretq_u8_u64(vaddq_u64(sum, vshlq_n_u64(sum, 32)));
  }

  // Column by column, lane = row.
  [[gnu::always_inline]] static void expand_line(const u8* item, uint8x16_t rows, uint8x16_t before,
                                                 int8x16_t (&line)[QUADS]) {
    const uint8x16x4_t items = vld1q_u8_x4(item);
    uint8x16_t column[4];
    unrolled<4>([&](auto c) { column[c] = vqtbl4q_u8(items, vaddq_u8(vqtbl1q_u8(vld1q_u8(RANKS.of[c]), rows), before)); });
    const uint8x16x2_t left = vzipq_u8(column[0], column[1]), right = vzipq_u8(column[2], column[3]);
    unrolled<2>([&](auto h) {
      const uint16x8x2_t quads = vzipq_u16(vreinterpretq_u16_u8(left.val[h]), vreinterpretq_u16_u8(right.val[h]));
      line[2 * h] = vreinterpretq_s8_u16(quads.val[0]);
      line[2 * h + 1] = vreinterpretq_s8_u16(quads.val[1]);
    });
  }

  [[gnu::always_inline]] void expand(const u8* masks, const u8*& item, Lines& lines) const {
    const uint8x16_t bits = vld1q_u8(masks), count = vcntq_u8(bits), sum = running(count);
    const uint8x16_t even = vandq_u8(bits, vdupq_n_u8(15)), odd = vshrq_n_u8(bits, 4);  // rows
    const uint8x16_t before_even = vsubq_u8(sum, count), before_odd = vaddq_u8(before_even, vcntq_u8(even));
    const uint8x16x2_t rows = vzipq_u8(even, odd), before = vzipq_u8(before_even, before_odd);
    expand_line(item, rows.val[0], before.val[0], lines[0]);
    item += vgetq_lane_u8(sum, 7);
    expand_line(item, rows.val[1], before.val[1], lines[1]);
    item += vgetq_lane_u8(sum, 15);
  }
};

// body(p, lines 2p and 2p + 1) for a unit; returns the next.
template <class F, class Body>
[[gnu::always_inline]] inline const u8* for_pairs(const F& format, const u8* unit, const u8* end, Body&& body) {
  const u8* item = unit + SPARSE_LINES * F::MASK;
  prefetch<0>(unit);
  unrolled<SPARSE_LINES / 2>([&](auto p) {
    Lines lines;
    prefetch<0>(item);
    format.expand(unit + 2 * p * F::MASK, item, lines);
    body(p, lines);
  });
  return min(item, end);
}

}  // namespace
}  // namespace edgellm
