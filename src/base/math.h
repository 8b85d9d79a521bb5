// Mathematics with the same bits on every machine: libm differs between systems and compilers, so nothing here calls it.
// Everything is built from IEEE operations in a stated order; the f32 functions use no step that a SIMD lane could not
// repeat, and their constants have names, so that every kernel set computes the same polynomial. Needs -ffp-contract=off.
// Errors given are the largest over all f32 inputs (tests/test_math.cpp).
#pragma once
#include "base/types.h"

namespace edgellm {

template <class To, class From>
static inline To bits_to(From value) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, value);
}

static constexpr f32 INFINITY_F32 = __builtin_huge_valf();

// a * b + c, rounded once, for CPUs without such an instruction. The product of two f32 is exact in f64. The sum is rounded
// to odd there, so that the second rounding, to f32, is as good as the only one: 53 >= 24 + 2 bits (Boldo and Melquiond,
// "Emulation of FMA and correctly rounded sums", 2008).
static inline f32 fma32_in_software(f32 a, f32 b, f32 c) {
  f64 product = static_cast<f64>(a) * static_cast<f64>(b), addend = static_cast<f64>(c);
  f64 sum = product + addend;
  f64 part = sum - product;
  f64 error = (product - (sum - part)) + (addend - part);  // exact where finite; NaN for infinities and NaN
  u64 bits = bits_to<u64>(sum);
  if ((error < 0 || error > 0) && (bits & 1) == 0) bits += (error > 0) == (sum > 0) ? u64{1} : ~u64{0};
  return static_cast<f32>(bits_to<f64>(bits));
}

// a * b + c, rounded once.
static inline f32 fma32(f32 a, f32 b, f32 c) {
#if defined(__FMA__) || defined(__aarch64__) || defined(__ARM_FEATURE_FMA)
  return __builtin_fmaf(a, b, c);
#else
  return fma32_in_software(a, b, c);
#endif
}

// Adding this to |x| <= 2^22 rounds x to an integer, half to even, and leaves it in the low bits of the sum.
static constexpr f32 ROUND_F32 = 0x1.8p23f;

// |x| <= 2^22.
static inline i32 round_half_even(f32 x) {
  return bits_to<i32>(x + ROUND_F32) - bits_to<i32>(ROUND_F32);
}

// IEEE binary16 as bits. Exact; NaN becomes quiet.
static inline f32 f16_to_f32(u16 half) {
  u32 sign = (half & 0x8000u) << 16, exponent = (half >> 10) & 31u, fraction = half & 0x3ffu;
  if (exponent == 0) return bits_to<f32>(sign | bits_to<u32>(static_cast<f32>(fraction) * 0x1p-24f));
  if (exponent == 31) return bits_to<f32>(sign | 0x7f800000u | (fraction ? 0x400000u | fraction << 13 : 0u));
  return bits_to<f32>(sign | (exponent + 112u) << 23 | fraction << 13);
}

// Rounds to nearest even; infinity from 65520 on; NaN becomes quiet.
static inline u16 f32_to_f16(f32 value) {
  u32 bits = bits_to<u32>(value), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<u16>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<u16>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // below 2^-14: adding 1/2 rounds to multiples of 2^-24
    return static_cast<u16>(sign | (bits_to<u32>(bits_to<f32>(magnitude) + 0.5f) - 0x3f000000u));
  }
  magnitude += 0xfffu + ((magnitude >> 13) & 1u);
  return static_cast<u16>(sign | (magnitude - 0x38000000u) >> 13);
}

// exp(x) = 2^n e^r: n = round(x / ln 2), r = x - n ln 2, e^r = 1 + r + r^2 (c0 + c1 r + c2 r^2 + c3 r^3 + c4 r^4).
namespace exp_constants {
static constexpr f32 LOW = -0x1.5d589ep6f;   // below: 0, for e^x would be denormal (x < -87.3365)
static constexpr f32 HIGH = 0x1.62e42ep6f;   // above: infinity (x > 88.7228)
static constexpr f32 LOG2E = 0x1.715476p0f;  // 1 / ln 2
static constexpr f32 LN2_HIGH = 0x1.62e430p-1f;
static constexpr f32 LN2_LOW = -0x1.05c610p-29f;
static constexpr f32 C0 = 0x1.fffffcp-2f;
static constexpr f32 C1 = 0x1.55548ap-3f;
static constexpr f32 C2 = 0x1.555916p-5f;
static constexpr f32 C3 = 0x1.123fc6p-7f;
static constexpr f32 C4 = 0x1.6a1a72p-10f;
}  // namespace exp_constants

// e^x; 0 below LOW and so for -infinity, NaN for NaN.
static inline f32 exp32(f32 x) {
  using namespace exp_constants;
  f32 shifted = fma32(x, LOG2E, ROUND_F32);  // n is in its low bits
  f32 n = shifted - ROUND_F32;
  f32 r = fma32(n, -LN2_HIGH, x);
  r = fma32(n, -LN2_LOW, r);
  f32 p = fma32(C4, r, C3);
  p = fma32(p, r, C2);
  p = fma32(p, r, C1);
  p = fma32(p, r, C0);
  p = fma32(p, r, 1.0f);
  p = fma32(p, r, 1.0f);
  f32 y = bits_to<f32>(bits_to<u32>(p) + (bits_to<u32>(shifted) << 23));  // p * 2^n
  y = x < LOW ? 0.0f : y;
  y = x > HIGH ? INFINITY_F32 : y;
  return x != x ? x : y;
}

// 1 / (1 + e^-x).
static inline f32 sigmoid32(f32 x) {
  return 1.0f / (1.0f + exp32(-x));
}

// |x| by its bits, as a lane does it.
static inline f32 abs32(f32 x) {
  return bits_to<f32>(bits_to<u32>(x) & 0x7fffffffu);
}

static inline f32 copy_sign32(f32 magnitude, f32 sign) {
  return bits_to<f32>((bits_to<u32>(magnitude) & 0x7fffffffu) | (bits_to<u32>(sign) & 0x80000000u));
}

// ln(1 + u) = 2 atanh(s) with s = u / (2 + u): 2 s + 2 s t (c0 + c1 t + ... + c4 t^4), t = s^2.
namespace log1p_constants {
static constexpr f32 C0 = 0x1.555558p-2f;
static constexpr f32 C1 = 0x1.9996a6p-3f;
static constexpr f32 C2 = 0x1.2509d6p-3f;
static constexpr f32 C3 = 0x1.b6cd3ap-4f;
static constexpr f32 C4 = 0x1.f1d568p-4f;
}  // namespace log1p_constants

// ln(1 + u) for u in [0, 1].
static inline f32 log1p32_unit(f32 u) {
  using namespace log1p_constants;
  f32 s = u / (2.0f + u), t = s * s;
  f32 p = fma32(C4, t, C3);
  p = fma32(p, t, C2);
  p = fma32(p, t, C1);
  p = fma32(p, t, C0);
  f32 twice = s + s;
  return fma32(twice * t, p, twice);
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
static inline f32 softplus32(f32 x) {
  f32 positive = x > 0.0f ? x : 0.0f;
  f32 y = positive + log1p32_unit(exp32(-abs32(x)));
  return x != x ? x : y;
}

// |x| < SMALL: x + x t (c0 + ... + c4 t^4), t = x^2; else 1 - 2 / (e^2|x| + 1) with the sign of x.
namespace tanh_constants {
static constexpr f32 SMALL = 0.625f;
static constexpr f32 C0 = -0x1.555534p-2f;
static constexpr f32 C1 = 0x1.110760p-3f;
static constexpr f32 C2 = -0x1.b8430ep-5f;
static constexpr f32 C3 = 0x1.524e62p-6f;
static constexpr f32 C4 = -0x1.768478p-8f;
}  // namespace tanh_constants

static inline f32 tanh32(f32 x) {
  using namespace tanh_constants;
  f32 magnitude = abs32(x), t = x * x;
  f32 p = fma32(C4, t, C3);
  p = fma32(p, t, C2);
  p = fma32(p, t, C1);
  p = fma32(p, t, C0);
  f32 small = fma32(x * t, p, x);
  f32 large = copy_sign32(1.0f - 2.0f / (exp32(magnitude + magnitude) + 1.0f), x);
  f32 y = magnitude < SMALL ? small : large;
  return x != x ? x : y;
}

// The tanh form of gelu (Hendrycks and Gimpel, arXiv:1606.08415): x / 2 (1 + tanh(u / 2)) = x / (1 + e^-u) with
// u = x (c0 + c1 x^2), c0 = 2 sqrt(2 / pi), c1 = 0.044715 c0.
namespace gelu_constants {
static constexpr f32 C0 = 0x1.988454p0f;
static constexpr f32 C1 = 0x1.2444f2p-4f;
}  // namespace gelu_constants

static inline f32 gelu32(f32 x) {
  using namespace gelu_constants;
  f32 u = x * fma32(x * x, C1, C0);
  return x / (1.0f + exp32(-u));
}

// Sine and cosine of an angle in radians, |x| <= 2^31; error below 2^-52 (2.2e-16) in all that range. The angle is reduced
// to [-pi/4, pi/4] by n pi/2, |n| < 2^31, with pi/2 in parts of 22 bits, so that n times a part is exact (Cody and Waite,
// "Software Manual for the Elementary Functions", 1980); then Taylor's series as far as f64 sees it.
struct SinCos {
  f64 sine;
  f64 cosine;
};

static inline SinCos sincos64(f64 x) {
  constexpr f64 ROUND = 0x1.8p52, TWO_OVER_PI = 0x1.45f306dc9c883p-1;
  constexpr f64 PART0 = 0x1.921fb0p0, PART1 = 0x1.5110b0p-22, PART2 = 0x1.184698p-44, PART3 = 0x1.3198a2e037073p-69;
  f64 shifted = x * TWO_OVER_PI + ROUND;  // n is in its low bits
  f64 n = shifted - ROUND;
  f64 r = (((x - n * PART0) - n * PART1) - n * PART2) - n * PART3;
  f64 t = r * r;
  f64 s = -1.0 / 1307674368000.0;  // 1 / 15!
  s = s * t + 1.0 / 6227020800.0;
  s = s * t - 1.0 / 39916800.0;
  s = s * t + 1.0 / 362880.0;
  s = s * t - 1.0 / 5040.0;
  s = s * t + 1.0 / 120.0;
  s = s * t - 1.0 / 6.0;
  s = r + r * (t * s);
  f64 c = 1.0 / 20922789888000.0;  // 1 / 16!
  c = c * t - 1.0 / 87178291200.0;
  c = c * t + 1.0 / 479001600.0;
  c = c * t - 1.0 / 3628800.0;
  c = c * t + 1.0 / 40320.0;
  c = c * t - 1.0 / 720.0;
  c = c * t + 1.0 / 24.0;
  c = (1.0 - 0.5 * t) + t * t * c;
  switch (bits_to<u64>(shifted) & 3) {
    case 0:
      return {s, c};
    case 1:
      return {c, -s};
    case 2:
      return {-s, -c};
    default:
      return {-c, s};
  }
}

static inline f64 sin64(f64 x) {
  return sincos64(x).sine;
}
static inline f64 cos64(f64 x) {
  return sincos64(x).cosine;
}

// The natural logarithm; error below 1 ulp for normal x. x = 2^k m with m in [sqrt(1/2), sqrt(2)), f = m - 1, s = f / (2 + f), t = s^2:
// ln m = 2 atanh(s) = f - (f^2 / 2 - s (f^2 / 2 + t (2/3 + 2/5 t + 2/7 t^2 + ...))), Taylor's series as far as f64 sees it
// (|s| < 0.1716). k ln 2 comes in two parts, the first of which has room for the bits of k.
// -infinity for 0, NaN for what is negative.
static inline f64 log64(f64 x) {
  constexpr f64 LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;
  constexpr u64 FRACTION = (u64{1} << 52) - 1, ONE = u64{1023} << 52, SQRT_HALF = 0x3fe6a09e667f3bcdu;
  if (!(x > 0)) return x < 0 || x != x ? bits_to<f64>(u64{0x7ff8} << 48) : -static_cast<f64>(INFINITY_F32);
  if (x == static_cast<f64>(INFINITY_F32)) return x;
  f64 k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  u64 bits = bits_to<u64>(x) + (ONE - SQRT_HALF);  // the exponent counts from sqrt(1/2)
  k += static_cast<f64>(static_cast<i32>(bits >> 52) - 1023);
  f64 f = bits_to<f64>((bits & FRACTION) + SQRT_HALF) - 1;
  f64 s = f / (2 + f), t = s * s;
  f64 series = 2.0 / 23;
  for (i32 odd = 21; odd >= 3; odd -= 2)
    series = series * t + 2.0 / odd;
  f64 half_square = 0.5 * f * f;
  return k * LN2_HIGH - ((half_square - (s * (half_square + t * series) + k * LN2_LOW)) - f);
}

}  // namespace edgellm
