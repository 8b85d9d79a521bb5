#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "base/format.h"
#include "base/status.h"
#include "check.h"

using namespace edgellm;

static std::string fixed(f64 value, i32 decimals) {
  char buffer[400];
  Writer writer(buffer);
  writer.add(Fixed{value, decimals});
  return std::string(writer.text().data, static_cast<size_t>(writer.text().size));
}

template <class... Args>
static std::string joined(const Args&... args) {
  char buffer[256];
  Writer writer(buffer);
  write(writer, args...);
  return buffer;
}

TEST(integers) {
  CHECK_EQ(joined(0, ' ', -1, ' ', 4294967295u), std::string("0 -1 4294967295"));
  CHECK_EQ(joined(std::numeric_limits<i64>::min()), std::string("-9223372036854775808"));
  CHECK_EQ(joined(std::numeric_limits<i64>::max()), std::string("9223372036854775807"));
  CHECK_EQ(joined(std::numeric_limits<u64>::max()), std::string("18446744073709551615"));
}

// Every length, both signs, against libc.
TEST(integers_of_every_length) {
  std::mt19937_64 random(2);
  for (int i = 0; i < 20000; i++) {
    const u64 value = random() >> random() % 64;
    const i64 number = static_cast<i64>(value) * (i & 1 ? 1 : -1);
    CHECK_EQ(joined(value), std::to_string(value));
    CHECK_EQ(joined(number), std::to_string(number));
    CHECK_EQ(joined(static_cast<i32>(value), static_cast<u32>(value)),
             std::to_string(static_cast<i32>(value)) + std::to_string(static_cast<u32>(value)));
    char expected[40];
    const int digits = static_cast<int>(random() % 17);
    std::snprintf(expected, sizeof expected, "%0*llx", digits, static_cast<unsigned long long>(value));
    CHECK_EQ(joined(Hex{value, digits}), std::string(expected));
  }
  for (u64 ten = 1, i = 0; i < 20; i++, ten *= 10) {
    CHECK_EQ(joined(ten), std::to_string(ten));
    CHECK_EQ(joined(ten - 1), std::to_string(ten - 1));
  }
}

TEST(hex) {
  CHECK_EQ(joined(Hex{0, 0}), std::string("0"));
  CHECK_EQ(joined(Hex{0xbeef, 8}), std::string("0000beef"));
  CHECK_EQ(joined(Hex{~u64{0}, 4}), std::string("ffffffffffffffff"));
  CHECK_EQ(joined(Hex{1, 99}), std::string("0000000000000001"));
}

TEST(fixed_special) {
  CHECK_EQ(fixed(std::nan(""), 2), std::string("nan"));
  CHECK_EQ(fixed(HUGE_VAL, 2), std::string("inf"));
  CHECK_EQ(fixed(-HUGE_VAL, 2), std::string("-inf"));
  CHECK_EQ(fixed(-0.0, 1), std::string("0.0"));
  CHECK_EQ(fixed(-0.004, 2), std::string("0.00"));
  CHECK_EQ(fixed(0.999999, 3), std::string("1.000"));
  CHECK_EQ(fixed(9.5, 0), std::string("10"));
  CHECK_EQ(fixed(2.5, 0), std::string("2"));
  CHECK_EQ(fixed(1e300, 3), std::string("1.000e+300"));
  CHECK_EQ(fixed(5e-324, 9), std::string("0.000000000"));
  CHECK_EQ(fixed(1.5, 99), std::string("1.500000000"));
}

// Every decimal is the exactly rounded one, as libc's.
TEST(fixed_is_exact) {
  std::mt19937_64 random(1);
  char expected[400];
  for (int i = 0; i < 200000; i++) {
    f64 value = std::ldexp(static_cast<f64>(random() >> 11), static_cast<int>(random() % 70) - 60);
    if (i % 4 == 0) value = static_cast<f64>(random() % 100000) / 8;  // many exact ties
    if (random() & 1) value = -value;
    i32 decimals = static_cast<i32>(random() % 10);
    std::snprintf(expected, sizeof expected, "%.*f", decimals, value);
    if (expected[0] == '-' && std::strspn(expected, "-0.") == std::strlen(expected)) {
      std::memmove(expected, expected + 1, std::strlen(expected));
    }
    if (std::fabs(value) < 1.8e19) CHECK_EQ(fixed(value, decimals), std::string(expected));
  }
}

// Any bits of an f64: below 2^64 as libc, above it in powers of ten to nine digits and a half.
TEST(fixed_of_any_bits) {
  std::mt19937_64 random(3);
  auto test = [](f64 value, i32 decimals) {
    const std::string text = fixed(value, decimals);
    if (value != value) {
      CHECK_EQ(text, std::string("nan"));
    } else if (std::isinf(value)) {
      CHECK_EQ(text, std::string(value < 0 ? "-inf" : "inf"));
    } else if (std::fabs(value) >= 18446744073709551616.0) {
      const size_t e = text.find("e+");
      CHECK(e != std::string::npos &&
            text.size() == e + 2 + std::to_string(static_cast<int>(std::log10(std::fabs(value)))).size());
      const bool ten = text.substr(value < 0, 2) == "10";  // 9.99... was rounded up
      CHECK_EQ(e, size_t{1} + (value < 0) + ten + (decimals > 0 ? 1 + static_cast<size_t>(decimals) : 0));
      CHECK(std::fabs(std::strtod(text.c_str(), nullptr) / value - 1) < 0.51 * std::pow(10, -decimals) + 1e-13);
    } else {
      char expected[400];
      std::snprintf(expected, sizeof expected, "%.*f", decimals, value);
      CHECK_EQ(text, std::string(expected + (expected[0] == '-' && std::strspn(expected, "-0.") == std::strlen(expected))));
    }
  };
  for (int i = 0; i < 30000; i++) {
    const u64 bits = random();
    test(__builtin_bit_cast(f64, bits), static_cast<i32>(random() % 10));
  }
  for (f64 edge : {18446744073709551616.0, 18446744073709549568.0, 9223372036854775808.0, 4503599627370496.5, 1e18, 0.5, 1.5,
                   0.05, 5e-324}) {
    for (i32 decimals = 0; decimals < 10; decimals++) {
      test(std::nextafter(edge, 0), decimals);
      test(-edge, decimals);
      test(std::nextafter(edge, HUGE_VAL), decimals);
    }
  }
  CHECK_EQ(fixed(1.25, -3), fixed(1.25, 0));
  CHECK_EQ(fixed(1.25, 10), std::string("1.250000000"));
  CHECK_EQ(fixed(1.7976931348623157e308, 2), std::string("1.80e+308"));
  CHECK_EQ(fixed(1e20, 2), std::string("1.00e+20"));
  CHECK_EQ(fixed(18446744073709551616.0, 3), std::string("1.845e+19"));
  CHECK_EQ(joined(megabytes(1234567, 2)), std::string("1.23"));
}

// Each length of a buffer, and of what is added: what fits is there, and nothing is written behind it.
TEST(writers_of_every_size) {
  for (i64 capacity = 1; capacity < 12; capacity++) {
    for (size_t size = 0; size < 14; size++) {
      char buffer[16];
      std::memset(buffer, '#', sizeof buffer);
      Writer writer(buffer, capacity);
      const std::string added(size, 'x');
      writer.add(Text(added.data(), static_cast<i64>(size))).add("y");
      const std::string all = added + "y", kept = all.substr(0, static_cast<size_t>(capacity - 1));
      CHECK_EQ(std::string(buffer), kept);
      CHECK_EQ(std::string(writer.text().data, static_cast<size_t>(writer.text().size)), kept);
      CHECK_EQ(writer.full(), all.size() >= static_cast<size_t>(capacity - 1));
      CHECK_EQ(buffer[capacity], '#');
    }
  }
}

TEST(output_is_cut) {
  char buffer[8];
  Writer writer(buffer);
  writer.add("abc").add(12345678);
  CHECK_EQ(std::string(buffer), std::string("abc1234"));
  CHECK(writer.full());
  writer.clear();
  CHECK_EQ(writer.text().size, 0);
  CHECK_EQ(buffer[0], 0);
  Status status = bad_model(Text("named"), ": ", std::string(1000, 'x').c_str());
  CHECK(!status.ok() && status.code() == Code::bad_model);
  CHECK_EQ(std::strlen(status.text()), size_t{315});
}
