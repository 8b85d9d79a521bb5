#include <cmath>
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
