#include "base/format.h"

#include <string.h>

namespace edgellm {

Writer& Writer::add(Text text) {
  i64 n = min(text.size, capacity_ - 1 - size_);
  if (n < text.size) cut_ = true;
  if (n <= 0) return *this;
  memcpy(data_ + size_, text.data, static_cast<size_t>(n));
  size_ += n;
  data_[size_] = 0;
  return *this;
}

Writer& Writer::add(long long value) {
  if (value >= 0) return add(static_cast<unsigned long long>(value));
  add('-');
  return add(0 - static_cast<unsigned long long>(value));  // also right for the smallest value
}

Writer& Writer::add(unsigned long long value) {
  char digits[20];
  i32 first = 20;
  do {
    digits[--first] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value);
  return add(Text(digits + first, 20 - first));
}

Writer& Writer::add(Hex hex) {
  char digits[16];
  i32 first = 16;
  do {
    digits[--first] = "0123456789abcdef"[hex.value & 15];
    hex.value >>= 4;
  } while (hex.value || (first > 0 && 16 - first < hex.digits));
  return add(Text(digits + first, 16 - first));
}

constexpr i32 MAX_DECIMALS = 9;
constexpr u64 POWERS[MAX_DECIMALS + 1] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};

// `fraction` in [0, 1) times 10^decimals, rounded to nearest, ties to even, without the double rounding of a plain
// product: the product and its error are both exact.
static u64 scaled_fraction(f64 fraction, i32 decimals) {
  f64 scale = static_cast<f64>(POWERS[decimals]);
  f64 product = fraction * scale;
  f64 error = __builtin_fma(fraction, scale, -product);
  u64 whole = static_cast<u64>(product);
  f64 rest = product - static_cast<f64>(whole);
  bool up = rest > 0.5 || (rest == 0.5 && (error > 0 || (error == 0 && whole % 2 == 1)));
  return whole + up;
}

Writer& Writer::add(Fixed number) {
  i32 decimals = max(0, min(number.decimals, MAX_DECIMALS));
  f64 value = number.value;
  if (value != value) return add("nan");
  bool negative = value < 0;
  if (negative) value = -value;
  if (value > 1.7976931348623157e308) return add(negative ? "-inf" : "inf");

  i32 exponent = 0;
  if (value >= 18446744073709551616.0) {  // 2^64: past what a u64 holds it is written as 1.23e+45
    for (; value >= 10; exponent++)
      value /= 10;
  }
  u64 whole = static_cast<u64>(value);
  f64 rest = value - static_cast<f64>(whole);
  u64 fraction = 0;
  if (decimals > 0) {
    fraction = scaled_fraction(rest, decimals);
    if (fraction == POWERS[decimals]) {
      fraction = 0;
      whole++;
    }
  } else {
    whole += rest > 0.5 || (rest == 0.5 && whole % 2 == 1);
  }

  if (negative && (whole || fraction)) add('-');
  add(whole);
  if (decimals > 0) {
    add('.');
    for (i32 i = decimals - 1; i >= 0; i--)
      add(static_cast<char>('0' + fraction / POWERS[i] % 10));
  }
  if (exponent) add("e+").add(exponent);
  return *this;
}

bool Parts::next(Text* text) {
  Writer number(number_);
  u64 type = types_ & ((1 << PART_BITS) - 1);
  types_ >>= PART_BITS;
  switch (type) {
    case PART_STRING:
      *text = va_arg(arguments, const char*);
      return true;
    case PART_TEXT: {
      PlainText plain = va_arg(arguments, PlainText);
      *text = {plain.data, plain.size};
      return true;
    }
    case PART_CHAR:
      number.add(static_cast<char>(va_arg(arguments, int)));
      break;
    case PART_SIGNED:
      number.add(va_arg(arguments, long long));
      break;
    case PART_UNSIGNED:
      number.add(va_arg(arguments, unsigned long long));
      break;
    case PART_HEX:
      number.add(va_arg(arguments, Hex));
      break;
    case PART_FIXED:
      number.add(va_arg(arguments, Fixed));
      break;
    default:
      return false;
  }
  *text = number.text();
  return true;
}

Writer& write_parts(Writer& to, u64 types, ...) {
  Parts parts(types);
  va_start(parts.arguments, types);
  for (Text text; parts.next(&text);)
    to.add(text);
  va_end(parts.arguments);
  return to;
}

}  // namespace edgellm
