// Lines of t5 (layout: kernels/ref/t5.cpp), for all NEON sets: 64 bytes are 16 rows by 20 columns, five digits a byte.
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

constexpr i32 T5_COLUMNS = 20;

struct Digits {
  int8x16_t digit[5];
};

struct T5Decoder {
  // The digits worth 1, 3 and 9 of 0 to 26, in fields of two bits.
  const uint8x16x2_t fields = {{{0, 1, 2, 4, 5, 6, 8, 9, 10, 16, 17, 18, 20, 21, 22, 24},
                                {25, 26, 32, 33, 34, 36, 37, 38, 40, 41, 42, 0, 0, 0, 0, 0}}};

  // x modulo POWER, for x < 3 * POWER: what is taken off too often wraps to a large number.
  template <i32 POWER>
  [[gnu::always_inline]] static uint8x16_t modulo(uint8x16_t x) {
    return vminq_u8(x, vminq_u8(vsubq_u8(x, vdupq_n_u8(POWER)), vsubq_u8(x, vdupq_n_u8(2 * POWER))));
  }

  [[gnu::always_inline]] Digits operator()(uint8x16_t bytes) const {
    const uint8x16_t three = vdupq_n_u8(3);
    bytes = vminq_u8(bytes, vdupq_n_u8(242));
    uint8x16_t below81 = modulo<81>(bytes), below27 = modulo<27>(below81), three_digits = vqtbl2q_u8(fields, below27);
    const uint8x16_t digits[5] = {vandq_u8(three_digits, three), vandq_u8(vshrq_n_u8(three_digits, 2), three),
                                  vshrq_n_u8(three_digits, 4),
                                  vrshrq_n_u8(vsubq_u8(below81, below27), 5),  // 27 and 54 over 32, rounded
                                  vandq_u8(vsubq_u8(bytes, below81), three)};  // 81 & 3 is 1, 162 & 3 is 2
    Digits result;
    unrolled<5>([&](auto p) { result.digit[p] = vreinterpretq_s8_u8(digits[p]); });
    return result;
  }
};

// add(line, activations) for each unit of a panel. Those of the last one are copied where a unit reaches past the columns, for
// it may reach past what a vector is padded to.
template <class Add>
[[gnu::always_inline]] inline void for_t5_lines(const u8* line, const i8* q, i32 columns, Add&& add) {
  for (; columns >= T5_COLUMNS; columns -= T5_COLUMNS, line += LINE, q += T5_COLUMNS)
    add(line, q);
  if (columns > 0) {
    i8 last[T5_COLUMNS] = {};
    __builtin_memcpy(last, q, static_cast<u64>(columns));
    add(line, last);
  }
}

}  // namespace
}  // namespace edgellm
