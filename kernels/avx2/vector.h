// f32 vectors of any length, eight lanes at a time; the last few go through memory, so that nothing past the end is
// touched (emulators touch what masked loads and stores leave out).
#pragma once
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

// How a body of for_lanes and for_halves reads and writes: all eight lanes, or the first few, where the others read as `other` or zero.
// `keep` clears the lanes past the end.
struct Whole {
  __m256 load(const f32* p) const { return _mm256_loadu_ps(p); }
  __m256 load_or(const f32* p, __m256) const { return _mm256_loadu_ps(p); }
  void store(f32* p, __m256 v) const { _mm256_storeu_ps(p, v); }
  __m256 keep(__m256 v) const { return v; }
};

struct Part {
  size_t bytes;

  explicit Part(i32 lanes) : bytes(sizeof(f32) * static_cast<size_t>(min(lanes, HALF))) {}
  __m256 load(const f32* p) const { return load_or(p, _mm256_setzero_ps()); }
  __m256 load_or(const f32* p, __m256 other) const {
    alignas(32) f32 lanes[HALF];
    _mm256_store_ps(lanes, other);
    __builtin_memcpy(lanes, p, bytes);
    return _mm256_load_ps(lanes);
  }
  void store(f32* p, __m256 v) const {
    alignas(32) f32 lanes[HALF];
    _mm256_store_ps(lanes, v);
    __builtin_memcpy(p, lanes, bytes);
  }
  __m256 keep(__m256 v) const {
    alignas(32) f32 lanes[HALF];
    _mm256_store_ps(lanes, v);
    return load(lanes);
  }
};

// Calls body(i, lanes) for i = 0, 8, ... below n.
template <class Body>
inline void for_lanes(i32 n, Body&& body) {
  i32 i = 0;
  for (; i + HALF <= n; i += HALF)
    body(i, Whole{});
  if (i < n) body(i, Part(n - i));
}

// Calls body(i, half, lanes) for i = 0, 8, ... below n; half = i / 8 mod 2 says which half of 16 lanes this is.
template <class Body>
inline void for_halves(i32 n, Body&& body) {
  i32 i = 0;
  for (; i + PANEL <= n; i += PANEL) {
    body(i, 0, Whole{});
    body(i + HALF, 1, Whole{});
  }
  if (i < n) body(i, 0, Part(n - i));
  if (i + HALF < n) body(i + HALF, 1, Part(n - i - HALF));
}

// The sum of 16 lanes: lane l += lane l + 8, then 4, 2, 1.
inline f32 fold(const __m256 (&lanes)[2]) {
  __m256 eight = _mm256_add_ps(lanes[0], lanes[1]);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// The largest lane by a > b ? a : b; no lane is NaN.
inline f32 largest_lane(__m256 v) {
  __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  m = _mm_max_ps(m, _mm_movehl_ps(m, m));
  return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

inline f32 root(f32 x) {
  return _mm_cvtss_f32(_mm_sqrt_ss(_mm_set_ss(x)));
}

// base/math.h's exp32 in eight lanes: the same steps, the same bits.
inline __m256 exp_lanes(__m256 x) {
  using namespace exp_constants;
  const __m256 round = _mm256_set1_ps(ROUND_F32), one = _mm256_set1_ps(1.0f);
  __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(LOG2E), round);
  __m256 n = _mm256_sub_ps(shifted, round);
  __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-LN2_HIGH), x);
  r = _mm256_fmadd_ps(n, _mm256_set1_ps(-LN2_LOW), r);
  __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(C4), r, _mm256_set1_ps(C3));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C2));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C1));
  p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(C0));
  p = _mm256_fmadd_ps(p, r, one);
  p = _mm256_fmadd_ps(p, r, one);
  __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  y = _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(LOW), _CMP_LT_OQ), y);
  y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY_F32), _mm256_cmp_ps(x, _mm256_set1_ps(HIGH), _CMP_GT_OQ));
  return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

// x / (1 + exp(-x)).
inline __m256 silu_lanes(__m256 x) {
  __m256 e = exp_lanes(_mm256_xor_ps(x, _mm256_set1_ps(-0.0f)));
  return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), e));
}

}  // namespace
}  // namespace edgellm
