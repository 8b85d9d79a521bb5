// Decimal digits to f64, against libc's strtod bit for bit.
#include "base/decimal.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>

#include "check.h"

using namespace edgellm;

static void compare(const std::string& text) {
  const f64 got = nearest_f64({text.data(), static_cast<i64>(text.size())});
  const f64 expected = std::strtod(text.c_str(), nullptr);
  if (std::memcmp(&got, &expected, sizeof got) == 0) {
    check::passed();
  } else {
    char line[128];
    std::snprintf(line, sizeof line, "%a is not %a: ", got, expected);
    check::failed(__FILE__, __LINE__, line + text.substr(0, 200));
  }
}

TEST(corner_cases) {
  const char* rows[] = {"0",
                        "-0",
                        "0.0",
                        "-0e99",
                        "0e-999999999999999999999",
                        "0.000000000000000000000e400",
                        "1",
                        "-1",
                        "10",
                        "0.1",
                        "0.7",
                        "0.3",
                        "1e22",
                        "1e23",
                        "1e-22",
                        "9007199254740992",
                        "9007199254740993",
                        "9007199254740993.00000000000000000000000000001",
                        "9007199254740994",
                        "9007199254740995",
                        "18446744073709551615",
                        "18446744073709551616",
                        "1.7976931348623157e308",
                        "1.7976931348623158e308",
                        "1.7976931348623159e308",
                        "17976931348623158079372897140530341507993413271003782693617377898",
                        "1e308",
                        "1e309",
                        "-1e400",
                        "1e99999999999999999999",
                        "4.9e-324",
                        "2.4703282292062327e-324",
                        "2.4703282292062328e-324",
                        "2.5e-324",
                        "1e-324",
                        "1e-400",
                        "1e-99999999999999999999",
                        "2.2250738585072014e-308",
                        "2.2250738585072011e-308",
                        "2.2250738585072012e-308",
                        "6.631236871469758276785396630275967e-4",
                        "3.518437208883201171875e13",
                        "123456789012345678901234567890",
                        "8.988465674311579538646525953945123668089885e307",
                        "5e-1",
                        "5E+0",
                        "1E5"};
  for (const char* row : rows)
    compare(row);
  compare("1" + std::string(400, '0') + "e-400");
  compare("0." + std::string(400, '0') + "1e401");
  compare(std::string(100000, '0') + "." + std::string(100000, '0') + "1e100001");
  compare("1" + std::string(310, '0'));
  compare("-1" + std::string(308, '0'));
}

// The exact half between two neighbours, a digit below and above it, and with the difference far behind.
TEST(halves) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 1500; i++) {
    u64 bits = random() & ~(u64{1} << 63);
    if (i % 3 == 0) bits = random() >> (12 + random() % 50);  // subnormal
    if (i % 3 == 1) bits = (u64{1023} + random() % 80) << 52 | (bits & ((u64{1} << 52) - 1));
    const f64 value = __builtin_bit_cast(f64, bits);
    if (!std::isfinite(value) || value == std::numeric_limits<f64>::max()) continue;
    // Twice the significand and one more is the half, exactly, as decimal digits.
    int exponent;
    const f64 next = std::nextafter(value, HUGE_VAL);
    std::frexp(next - value, &exponent);
    char digits[2000];
    if (sizeof(long double) <= sizeof(f64) && exponent < -1073) continue;  // the half itself has no form
    std::snprintf(digits, sizeof digits, "%.1100Lf", static_cast<long double>(value) + std::ldexp(1.0L, exponent - 2));
    std::string half = digits;
    while (half.back() == '0')
      half.pop_back();
    if (half.back() == '.') half += '0';
    compare(half);
    compare(half + std::string(900, '0') + "1");
    std::string below = half.substr(0, half.size() - 1) + static_cast<char>(half.back() - 1) + std::string(900, '9');
    if (half.back() > '0') compare(below);
  }
}

TEST(any_bits) {
  std::mt19937_64 random(8);
  char digits[64];
  for (int i = 0; i < 60000; i++) {
    const u64 bits = random();
    const f64 value = __builtin_bit_cast(f64, bits);
    if (!std::isfinite(value)) continue;
    std::snprintf(digits, sizeof digits, "%.*e", static_cast<int>(random() % 20), value);
    compare(digits);
    std::snprintf(digits, sizeof digits, "%.*e", 16, value);  // 17 digits name every f64
    CHECK_EQ(__builtin_bit_cast(u64, nearest_f64(digits)), bits);
  }
}

TEST(any_digits) {
  std::mt19937_64 random(9);
  for (int i = 0; i < 4000; i++) {
    std::string text = random() & 1 ? "-" : "";
    const size_t whole = 1 + random() % (i % 50 == 0 ? 1200 : 25), rest = random() % (i % 50 == 1 ? 1200 : 25);
    for (size_t k = 0; k < whole + rest; k++) {
      if (k == whole) text += '.';
      text += static_cast<char>('0' + random() % 10);
    }
    if (random() & 1) text += "e" + std::to_string(static_cast<int>(random() % 700) - 350);
    compare(text);
  }
}
