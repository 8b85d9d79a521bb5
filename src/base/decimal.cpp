// Multiplies and divides the digits by powers of two until the number is a fraction between a half and one: then its first 53
// binary digits are the result, and the decimal digits that are left say exactly how it rounds.
#include "base/decimal.h"

#include <string.h>

namespace edgellm {

namespace {

// 0.d0 d1 d2 ... times 10^point, without a zero in front or at the end.
class Decimal {
 public:
  explicit Decimal(Text number);

  bool is_zero() const { return count_ == 0; }
  i64 point() const { return point_; }
  bool below_half() const { return point_ < 0 || (point_ == 0 && digits_[0] < 5); }
  void shift_left(i32 bits);  // times 2^bits, at most MAX_SHIFT
  void shift_right(i32 bits);
  u64 rounded() const;  // to the nearest whole number, ties to even

  static constexpr i32 MAX_SHIFT = 60;  // ten times it fits a u64

 private:
  void push(u64 digit);
  void trim();

  // The exact half between two neighbours has at most 767 digits; beyond these it only matters whether anything follows.
  static constexpr i64 MAX_DIGITS = 800;
  u8 digits_[MAX_DIGITS];
  i64 count_ = 0;
  i64 point_ = 0;
  bool more_ = false;  // digits that are not zero were dropped behind the last
};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

Decimal::Decimal(Text number) {
  i64 at = 0;
  bool fraction = false;
  for (; at < number.size && number[at] != 'e' && number[at] != 'E'; at++) {
    fraction |= number[at] == '.';
    if (!is_digit(number[at])) continue;
    if (count_ > 0 || number[at] != '0') {
      push(static_cast<u64>(number[at] - '0'));
      point_ += !fraction;
    } else {
      point_ -= fraction;
    }
  }
  trim();
  i64 exponent = 0, sign = 1;
  for (; at < number.size; at++) {
    if (number[at] == '-') sign = -1;
    if (is_digit(number[at])) exponent = min<i64>(exponent * 10 + (number[at] - '0'), INT64_MAX / 100);
  }
  point_ += sign * exponent;
}

void Decimal::push(u64 digit) {
  if (count_ < MAX_DIGITS) {
    digits_[count_++] = static_cast<u8>(digit);
  } else {
    more_ |= digit != 0;
  }
}

void Decimal::trim() {
  while (count_ > 0 && digits_[count_ - 1] == 0)
    count_--;
}

void Decimal::shift_left(i32 bits) {
  u64 carry = 0;
  for (i64 i = count_ - 1; i >= 0; i--) {
    carry += static_cast<u64>(digits_[i]) << bits;
    digits_[i] = static_cast<u8>(carry % 10);
    carry /= 10;
  }
  i64 added = 0;
  for (u64 rest = carry; rest > 0; rest /= 10)
    added++;
  i64 kept = min(count_, MAX_DIGITS - added);
  for (i64 i = kept; i < count_; i++)
    more_ |= digits_[i] != 0;
  memmove(digits_ + added, digits_, static_cast<size_t>(kept));
  for (i64 i = added - 1; i >= 0; i--, carry /= 10)
    digits_[i] = static_cast<u8>(carry % 10);
  count_ = kept + added;
  point_ += added;
  trim();
}

void Decimal::shift_right(i32 bits) {
  i64 from = 0, end = count_;
  u64 rest = 0;
  for (; rest >> bits == 0; from++)
    rest = rest * 10 + (from < end ? digits_[from] : 0u);
  point_ -= from - 1;
  count_ = 0;  // written behind what is read
  while (rest > 0 || from < end) {
    u64 digit = rest >> bits;
    rest = (rest & ((u64{1} << bits) - 1)) * 10 + (from < end ? digits_[from] : 0u);
    from++;
    push(digit);
  }
  trim();
}

u64 Decimal::rounded() const {
  u64 whole = 0;
  for (i64 i = 0; i < point_; i++)
    whole = whole * 10 + (i < count_ ? digits_[i] : 0u);
  if (point_ < 0 || point_ >= count_) return whole;
  bool half = digits_[point_] == 5 && point_ + 1 == count_ && !more_;
  return whole + (half ? whole & 1 : digits_[point_] >= 5);
}

// As many binary places as decimal places surely take or give.
i32 step(i64 places) {
  constexpr i32 bits[] = {1, 3, 6, 9, 13, 16, 19, 23, 26};
  return places < 9 ? bits[places] : 27;
}

constexpr i32 MANTISSA_BITS = 53, LEAST_EXPONENT = -1022, MOST_EXPONENT = 1023;

// The bits without the sign.
u64 nearest_bits(Decimal& decimal) {
  constexpr u64 infinite = u64{2047} << 52;
  if (decimal.is_zero() || decimal.point() < -330) return 0;
  if (decimal.point() > 310) return infinite;
  i32 exponent = -1;  // the number is 2 * decimal * 2^exponent
  while (decimal.point() > 0) {
    i32 bits = step(decimal.point());
    decimal.shift_right(bits);
    exponent += bits;
  }
  while (decimal.below_half()) {
    i32 bits = step(-decimal.point());
    decimal.shift_left(bits);
    exponent -= bits;
  }
  for (i32 bits; exponent < LEAST_EXPONENT; exponent += bits) {  // a subnormal number has fewer bits
    bits = min(LEAST_EXPONENT - exponent, Decimal::MAX_SHIFT);
    decimal.shift_right(bits);
  }
  if (exponent > MOST_EXPONENT) return infinite;
  decimal.shift_left(MANTISSA_BITS);
  // Rounding up to the next power of two carries into the exponent: from subnormal to normal, from the largest to infinite.
  // The first bit of a normal mantissa is not stored: it is what adds one to the exponent's field.
  return (static_cast<u64>(exponent - LEAST_EXPONENT) << 52) + decimal.rounded();
}

}  // namespace

f64 nearest_f64(Text number) {
  Decimal decimal(number);
  u64 sign = number.size > 0 && number[0] == '-' ? u64{1} << 63 : 0;
  return __builtin_bit_cast(f64, nearest_bits(decimal) | sign);
}

}  // namespace edgellm
