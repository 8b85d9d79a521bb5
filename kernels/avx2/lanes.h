// Small parts of the AVX2 kernels. The 16 lanes of a panel are two registers: lanes 0 to 7 and lanes 8 to 15.
#pragma once
#include <immintrin.h>

#include "kernels.h"
#include "register_tiles.h"

namespace edgellm {
namespace {

constexpr i32 HALF = 8;   // f32 lanes of a register
constexpr i32 LINE = 64;  // bytes of 4 columns by 16 rows at 8 bits: byte 4r + c is row r, column c
// Bytes from a load of streamed weights to its prefetch, measured; past the end does no harm. Loops that do little else than load
// go without: the prefetching of the CPU itself is then the faster.
constexpr i32 AHEAD = 8192;

// Loops over register tiles must disappear, at any optimisation level.
#define UNROLL _Pragma("GCC unroll 16")

inline __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
inline void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
template <i32 DISTANCE = AHEAD>
inline void prefetch(const u8* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + DISTANCE), _MM_HINT_T0);
}

// Accumulators in their own types: where a loop carries them as __m256i, g++ copies and spills them.
using Words = i16 __attribute__((vector_size(32)));
using Ints = i32 __attribute__((vector_size(32)));

// Four activations, the same in every lane.
inline __m256i broadcast4(const i8* q) {
  i32 four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

// Eight f16 as f32.
inline __m256 load_f16(const void* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(static_cast<const __m128i*>(p)));
}

// 16 lanes of zeros, 64 bytes.
inline void clear(void* lanes) {
  store(lanes, _mm256_setzero_si256());
  store(static_cast<u8*>(lanes) + 32, _mm256_setzero_si256());
}

// Adds neighbouring int16 to int32.
inline __m256i widen(__m256i pairs) {
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

// The f32 scales of a panel's rows from lane 8 * half on, be they one for the tensor or one a row.
inline __m256 row_scales(const Matrix& w, i32 panel, i32 half) {
  if (w.scale == Scale::tensor) return _mm256_set1_ps(w.scales[0]);
  return _mm256_loadu_ps(w.scales + panel * PANEL + half * HALF);
}

}  // namespace
}  // namespace edgellm
