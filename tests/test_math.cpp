// base/math.h against libm in wider precision, and against definitions.
#include "base/math.h"

#include <cfloat>
#include <cmath>

#include "check.h"

using namespace edgellm;

// A walk through all f32 bit patterns.
template <class Body>
static void each_f32(Body body) {
  for (u64 bits = 0; bits < 0x100000000u; bits += 40503)
    body(bits_to<f32>(static_cast<u32>(bits)));
}

// The largest error of `function` against `exact` over [low, high], in units of the last place of the exact value (its
// distance to the next f32).
template <class Function, class Exact>
static double worst_ulp(double low, double high, Function function, Exact exact) {
  double worst = 0;
  auto test = [&](f32 x) {
    if (!(x >= low && x <= high)) return;
    double expected = exact(static_cast<double>(x));
    f32 rounded = std::fabs(static_cast<f32>(expected));
    double ulp = static_cast<double>(std::nextafterf(rounded, INFINITY_F32)) - static_cast<double>(rounded);
    worst = std::fmax(worst, std::fabs(static_cast<double>(function(x)) - expected) / ulp);
  };
  each_f32(test);
  for (int i = 0; i <= 50000; i++)
    test(static_cast<f32>(low + (high - low) * i / 50000));
  return worst;
}

static f32 random_f32(u64* state) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return bits_to<f32>(static_cast<u32>(*state >> 32));
}

static bool same(f32 a, f32 b) {
  return (a != a && b != b) || bits_to<u32>(a) == bits_to<u32>(b);
}

TEST(fma_rounds_once) {
  u64 state = 1;
  long wrong = 0;
  auto test = [&](f32 a, f32 b, f32 c) {
    f32 expected = std::fmaf(a, b, c);
    if (!same(fma32(a, b, c), expected) || !same(fma32_in_software(a, b, c), expected)) wrong++;
  };
  for (int i = 0; i < 300000; i++) {
    f32 a = random_f32(&state), b = random_f32(&state), c = random_f32(&state);
    test(a, b, c);
    test(a, b, -a * b);  // what the product's rounding lost
    f32 near_one = bits_to<f32>(0x3f800000u + (bits_to<u32>(a) & 0xfffu));
    f32 half_unit = bits_to<f32>((bits_to<u32>(c) & 0x81ffffffu) | 0x33000000u);  // about half a unit of 1 and far below
    test(near_one, bits_to<f32>(0x3f800000u + (bits_to<u32>(b) & 0xfffu)), half_unit);
    test(near_one, bits_to<f32>(bits_to<u32>(b) & 0x807fffffu), c);                                // denormal factor
    test(near_one * 0x1p-70f, half_unit * 0x1p-40f, bits_to<f32>(bits_to<u32>(b) & 0x807fffffu));  // denormal result
  }
  static const f32 SPECIAL[] = {0.0f,          -0.0f,     1.0f,       -1.0f,     INFINITY_F32,    -INFINITY_F32,
                                std::nanf(""), 0x1p-149f, -0x1p-149f, 0x1p-126f, 0x1.fffffep127f, -0x1.fffffep127f,
                                0x1.000002p0f, 0x1p-24f,  0x1.8p-25f, 0x1p24f};
  for (f32 a : SPECIAL) {
    for (f32 b : SPECIAL) {
      for (f32 c : SPECIAL)
        test(a, b, c);
    }
  }
  CHECK_EQ(wrong, 0);
}

// Rounding at the last bit of a sum, decided by a bit far below it: the double rounding that a plain f64 sum would do.
TEST(fma_sticky_bit) {
  f32 a = 0x1.000002p0f, b = 0x1.000002p0f;  // a b = 1 + 2^-22 + 2^-46
  f32 c = 0x1p-24f * (1.0f - 0x1p-24f);      // just under half a unit
  CHECK(same(fma32_in_software(a, b, c), std::fmaf(a, b, c)));
  CHECK(same(fma32_in_software(0x1p12f, 0x1p12f, 0x1p-40f), 0x1p24f));
  CHECK(same(fma32_in_software(1.0f + 0x1p-23f, 0x1p24f, 0x1p-60f), std::fmaf(1.0f + 0x1p-23f, 0x1p24f, 0x1p-60f)));
}

TEST(f16_is_exact_and_rounds_to_even) {
  CHECK_EQ(f16_to_f32(0x3c00), 1.0f);
  CHECK_EQ(f16_to_f32(0xc000), -2.0f);
  CHECK_EQ(f16_to_f32(0x7bff), 65504.0f);
  CHECK_EQ(f16_to_f32(0x0001), 0x1p-24f);
  CHECK_EQ(f16_to_f32(0x7c00), INFINITY_F32);
  CHECK_EQ(bits_to<u32>(f16_to_f32(0x7c01)), 0x7fc02000u);  // quiet now
  CHECK_EQ(bits_to<u32>(f16_to_f32(0xfe03)), 0xffc06000u);
  long wrong = 0;
  for (u32 h = 0; h < 0x10000; h++) {
    u16 half = static_cast<u16>(h);
    f32 value = f16_to_f32(half);
    bool nan = (half & 0x7fff) > 0x7c00;
    if (nan != (value != value)) wrong++;
    if (nan ? (f32_to_f16(value) & 0x7e00) != 0x7e00 : f32_to_f16(value) != half) wrong++;
    if (!nan && (half & 0x7fff) < 0x7c00) {
      i32 exponent = half >> 10 & 31, fraction = half & 1023;
      double expected = std::ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
      if (static_cast<double>(value) != (half & 0x8000 ? -expected : expected)) wrong++;
    }
  }
  for (u32 h = 0; h < 0x7c00; h++) {  // between h and the next: below, at and above the middle
    double low = static_cast<double>(f16_to_f32(static_cast<u16>(h)));
    double high = h == 0x7bff ? 65536.0 : static_cast<double>(f16_to_f32(static_cast<u16>(h + 1)));
    f32 middle = static_cast<f32>((low + high) / 2);
    u32 even = h + (h & 1);
    if (f32_to_f16(middle) != even || f32_to_f16(-middle) != (even | 0x8000)) wrong++;
    if (f32_to_f16(std::nextafterf(middle, 0.0f)) != h) wrong++;
    if (f32_to_f16(std::nextafterf(middle, INFINITY_F32)) != h + 1) wrong++;
  }
  CHECK_EQ(wrong, 0);
  CHECK_EQ(f32_to_f16(1e30f), 0x7c00);
  CHECK_EQ(f32_to_f16(0x1p-140f), 0);
  CHECK((f32_to_f16(std::nanf("")) & 0x7fff) > 0x7c00);
}

TEST(rounding_half_to_even) {
  for (i32 i = -4000; i <= 4000; i++) {
    f32 x = static_cast<f32>(i) / 8.0f;
    CHECK_EQ(round_half_even(x), static_cast<i32>(std::nearbyint(static_cast<double>(x))));
  }
  CHECK_EQ(round_half_even(4194303.5f), 4194304);
  CHECK_EQ(round_half_even(-4194302.5f), -4194302);
}

TEST(exp_and_its_kin) {
  double e = worst_ulp(-87.3365, 88.7228, exp32, [](double x) { return std::exp(x); });
  double sigmoid = worst_ulp(-87, 100, sigmoid32, [](double x) { return 1 / (1 + std::exp(-x)); });
  double softplus = worst_ulp(-87, 1e30, softplus32, [](double x) { return x > 40 ? x : std::log1p(std::exp(x)); });
  double tangent = worst_ulp(-1e30, 1e30, tanh32, [](double x) { return std::tanh(x); });
  std::printf("ulp: exp %.3f sigmoid %.3f softplus %.3f tanh %.3f\n", e, sigmoid, softplus, tangent);
  CHECK(e < 0.9);
  CHECK(sigmoid < 2.5);
  CHECK(softplus < 2.9);
  CHECK(tangent < 1.4);
}

// Of x's place: the tail for negative x, where e^-u magnifies the rounding of u, is as small beside x as e^u.
TEST(gelu) {
  double worst = 0;
  each_f32([&](f32 x) {
    if (!(std::fabs(x) < 1e18f)) return;
    double v = static_cast<double>(x), u = std::sqrt(2 / std::acos(-1.0)) * (v + 0.044715 * v * v * v);
    double exact = 0.5 * v * (1 + std::tanh(u));
    worst = std::fmax(worst, std::fabs(static_cast<double>(gelu32(x)) - exact) / std::fmax(std::fabs(v), 1e-30));
  });
  std::printf("gelu: largest error %g of x\n", worst);
  CHECK(worst < 1.5e-7);
  CHECK_EQ(gelu32(INFINITY_F32), INFINITY_F32);
  CHECK_EQ(gelu32(-1e30f), 0.0f);
}

TEST(exp_at_its_bounds) {
  f32 nan = std::nanf("");
  CHECK_EQ(exp32(0.0f), 1.0f);
  CHECK_EQ(exp32(-0.0f), 1.0f);
  CHECK_EQ(exp32(-INFINITY_F32), 0.0f);
  CHECK_EQ(exp32(INFINITY_F32), INFINITY_F32);
  CHECK(exp32(nan) != exp32(nan));
  CHECK(exp32(exp_constants::LOW) >= 0x1p-126f);
  CHECK_EQ(exp32(std::nextafterf(exp_constants::LOW, -INFINITY_F32)), 0.0f);
  CHECK(exp32(exp_constants::HIGH) < INFINITY_F32);
  CHECK_EQ(exp32(std::nextafterf(exp_constants::HIGH, INFINITY_F32)), INFINITY_F32);
  CHECK_EQ(exp32(-1e30f), 0.0f);
  CHECK_EQ(sigmoid32(-INFINITY_F32), 0.0f);
  CHECK_EQ(sigmoid32(INFINITY_F32), 1.0f);
  CHECK_EQ(softplus32(-INFINITY_F32), 0.0f);
  CHECK_EQ(softplus32(INFINITY_F32), INFINITY_F32);
  CHECK_EQ(tanh32(INFINITY_F32), 1.0f);
  CHECK_EQ(tanh32(-INFINITY_F32), -1.0f);
  CHECK_EQ(tanh32(-0.0f), 0.0f);
  CHECK_EQ(tanh32(tanh_constants::SMALL), 1.0f - 2.0f / (exp32(2 * tanh_constants::SMALL) + 1.0f));
  for (f32 y : {sigmoid32(nan), softplus32(nan), tanh32(nan), gelu32(nan)})
    CHECK(y != y);
}

TEST(sine_and_cosine) {
  double worst = 0, furthest = 0;
  auto test = [&](double x, double* to) {
    SinCos y = sincos64(x);
    long double s = std::sin(static_cast<long double>(x)), c = std::cos(static_cast<long double>(x));
    *to = std::fmax(*to, std::fabs(static_cast<double>(s - static_cast<long double>(y.sine))));
    *to = std::fmax(*to, std::fabs(static_cast<double>(c - static_cast<long double>(y.cosine))));
  };
  for (double x = 1e-9; x < 1e5; x *= 1.0007)
    test(x, &worst);
  for (double x = -100; x < 100; x += 0.0097)
    test(x, &worst);
  for (double x = 1e5; x <= 2147483648.0; x *= 1.0013)
    test(x, &furthest);
  for (double n = 1; n < 1.3e9; n = n * 1.003 + 1)
    test(std::floor(n) * 1.5707963267948966, &furthest);  // next to zeros
  for (double x = 2147480000.0; x <= 2147483648.0; x += 1.37)
    test(x, &furthest);
  std::printf("sin, cos: %.3g below 1e5, %.3g up to 2^31\n", worst, furthest);
  double libm = LDBL_MANT_DIG > DBL_MANT_DIG ? 0 : 0x1p-53;  // its own error, where long double is f64
  CHECK(worst < 0x1p-52 + libm);
  CHECK(furthest < 0x1p-52 + libm);
  CHECK_EQ(sin64(0.0), 0.0);
  CHECK_EQ(cos64(0.0), 1.0);
}

TEST(natural_logarithm) {
  double worst = 0;
  auto test = [&](double x) {
    const long double exact = std::log(static_cast<long double>(x));
    const double rounded = std::fabs(static_cast<double>(exact)), ulp = std::nextafter(rounded, HUGE_VAL) - rounded;
    worst = std::fmax(worst, static_cast<double>(std::fabs(static_cast<long double>(log64(x)) - exact)) / ulp);
  };
  u64 state = 5;
  for (int i = 0; i < 300000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    test(bits_to<double>(state >> 2));                                     // up to 2, every exponent
    test(1 + (static_cast<double>(state >> 11) - 0x1p52) * 0x1p-53);       // 1/2 to 3/2
    test(std::ldexp(1 + static_cast<double>(state >> 11) * 0x1p-53, 20));  // what sums are
  }
  for (int k = -1074; k < 1024; k++) {
    for (double m : {1.0, std::sqrt(0.5), std::sqrt(2.0), 1.9999999999999998})
      if (std::ldexp(m, k) < HUGE_VAL) test(std::ldexp(m, k));
  }
  std::printf("log: %.3f ulp\n", worst);
  const double libm = LDBL_MANT_DIG > DBL_MANT_DIG ? 0 : 1;  // its own error, where long double is f64
  CHECK(worst < 1 + libm);
  const double infinity = HUGE_VAL, nan = std::nan("");
  CHECK_EQ(log64(1.0), 0.0);
  CHECK_EQ(log64(0.0), -infinity);
  CHECK_EQ(log64(-0.0), -infinity);
  CHECK_EQ(log64(infinity), infinity);
  for (double x : {nan, -1.0, -infinity, -0x1p-1074}) {
    const double y = log64(x);
    CHECK(y != y);
  }
}

// The same bits on every machine: of each answer, added up in order.
TEST(the_bits_of_the_logarithm) {
  u64 state = 9, digest = 0;
  for (int i = 0; i < 10000; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    digest = digest * 0x9e3779b97f4a7c15u + bits_to<u64>(log64(bits_to<double>(state >> 1)));
  }
  CHECK_EQ(digest, 1682129849714638589u);
}
