// Small parts of the NEON kernels. The 16 lanes of a panel, or of a sum in 16 lanes, are four registers of f32.
#pragma once
#include <arm_neon.h>

#include "kernels.h"

namespace edgellm {

constexpr i32 QUADS = 4;     // registers of four f32 in 16 lanes; quad i holds lanes 4i to 4i + 3
constexpr i32 LINE = 64;     // bytes: one to four columns of 16 rows, a vector of 16 bytes for each quad of rows
constexpr i32 AHEAD = 1024;  // bytes from a load of streamed weights to its prefetch; past the end does no harm

template <i32 I>
struct Constant {
  [[gnu::always_inline]] constexpr operator i32() const { return I; }
};

// body(0) to body(N - 1) with constants, so that arrays of accumulators become registers whatever a compiler makes of loops.
template <i32 N, i32 I = 0, class Body>
[[gnu::always_inline]] static inline void unrolled(Body&& body) {
  if constexpr (I < N) {
    body(Constant<I>());
    unrolled<N, I + 1>(body);
  }
}

struct Lanes {
  float32x4_t quad[QUADS];
};

// Fetches what will be read from p + OFFSET in a while. As an instruction, so that a compiler does not base its pointers there.
template <i32 OFFSET>
[[gnu::always_inline]] static inline void prefetch(const u8* p) {
  asm volatile("prfm pldl1keep, [%0, %1]" : : "r"(p), "i"(AHEAD + OFFSET));
}

static inline Lanes load16(const f32* p) {
  return {{vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}};
}

static inline void store16(f32* p, const Lanes& x) {
  unrolled<QUADS>([&](auto i) { vst1q_f32(p + 4 * i, x.quad[i]); });
}

static inline Lanes all16(f32 x) {
  float32x4_t quad = vdupq_n_f32(x);
  return {{quad, quad, quad, quad}};
}

// acc = fma(x, scale, acc).
[[gnu::always_inline]] static inline void add_scaled(Lanes& acc, const Lanes& x, f32 scale) {
  unrolled<QUADS>([&](auto i) { acc.quad[i] = vfmaq_n_f32(acc.quad[i], x.quad[i], scale); });
}

// Four f16 as f32.
static inline float32x4_t load_f16(const void* p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(static_cast<const u16*>(p))));
}

// 16 f16 as f32.
static inline Lanes load16_f16(const void* p) {
  const u16* x = static_cast<const u16*>(p);
  const float16x8_t low = vreinterpretq_f16_u16(vld1q_u16(x)), high = vreinterpretq_f16_u16(vld1q_u16(x + 8));
  return {
      {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)), vcvt_high_f32_f16(high)}};
}

// Lane l += lane l + 8, + 4, + 2, + 1.
static inline f32 fold16(const Lanes& x) {
  float32x4_t four = vaddq_f32(vaddq_f32(x.quad[0], x.quad[2]), vaddq_f32(x.quad[1], x.quad[3]));
  float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

// a > b ? a : b in every lane. The empty statement hides the comparison from LLVM, which else makes FMAXNM of the two where
// it knows b to be no NaN: there a signalling NaN in a would win.
static inline float32x4_t greater(float32x4_t a, float32x4_t b) {
  uint32x4_t wins = vcgtq_f32(a, b);
  asm("" : "+w"(wins));
  return vbslq_f32(wins, a, b);
}

// Groups of four activations, each the same in every lane of 32 bits.
struct Broadcast {
  int8x16_t group[4];
};

[[gnu::always_inline]] static inline Broadcast broadcast16(const i8* q) {
  const int32x4x4_t x = vld4q_dup_s32(reinterpret_cast<const i32*>(q));
  Broadcast result;
  unrolled<4>([&](auto p) { result.group[p] = vreinterpretq_s8_s32(x.val[p]); });
  return result;
}

[[gnu::always_inline]] static inline Broadcast broadcast8(const i8* q) {
  const int32x4x2_t x = vld2q_dup_s32(reinterpret_cast<const i32*>(q));
  Broadcast result;
  unrolled<2>([&](auto p) { result.group[p] = vreinterpretq_s8_s32(x.val[p]); });
  return result;
}

// The 32 bytes at p, which moves past them. As an instruction, for compilers load the two registers one by one.
[[gnu::always_inline]] static inline void take32(const i8*& p, int8x16_t& first, int8x16_t& second) {
  asm("ldp %q0, %q1, [%2], #32" : "=w"(first), "=w"(second), "+r"(p) : "m"(*reinterpret_cast<const i8(*)[32]>(p)));
}

// sum + the products of eight or, in the second, the upper eight of 16 bytes.
[[gnu::always_inline]] static inline int16x8_t add_low(int16x8_t sum, int8x16_t a, int8x16_t b) {
  return vmlal_s8(sum, vget_low_s8(a), vget_low_s8(b));
}
[[gnu::always_inline]] static inline int16x8_t add_high(int16x8_t sum, int8x16_t a, int8x16_t b) {
  return vmlal_high_s8(sum, a, b);
}
[[gnu::always_inline]] static inline int16x8_t mul_low(int8x16_t a, int8x16_t b) {
  return vmull_s8(vget_low_s8(a), vget_low_s8(b));
}
[[gnu::always_inline]] static inline int16x8_t mul_high(int8x16_t a, int8x16_t b) {
  return vmull_high_s8(a, b);
}

// The f32 scales of rows 4i to 4i + 3 of a panel, be there one for the tensor or one a row.
static inline float32x4_t row_scales(const Matrix& w, i32 panel, i32 i) {
  if (w.scale == Scale::tensor) return vdupq_n_f32(w.scales[0]);
  return vld1q_f32(w.scales + panel * PANEL + 4 * i);
}

// The 16 scores of a block whose first slot is `first + i`; those before `first` are dropped.
static inline void save_scores(f32* scores, i32 i, const Lanes& block) {
  if (i >= 0) return store16(scores + i, block);
  f32 lanes[PANEL];
  store16(lanes, block);
  for (i32 l = -i; l < PANEL; l++)
    scores[i + l] = lanes[l];
}

}  // namespace edgellm
