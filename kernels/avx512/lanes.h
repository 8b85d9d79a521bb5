// Small parts of the AVX-512 kernels. The 16 rows of a panel are one register.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of g++ 12's own header: GCC bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include "kernels.h"
#include "register_tiles.h"

namespace edgellm {
namespace {

constexpr i32 LINE = 64;  // bytes of 4 columns by 16 rows at 8 bits: byte 4r + c is row r, column c
// Bytes from a load of streamed weights to its prefetch, measured; past the end does no harm. Loops that do little else than load
// go without: the prefetching of the CPU itself is then the faster.
constexpr i32 AHEAD = 8192;

// Loops over register tiles must disappear, at any optimisation level.
#define UNROLL _Pragma("GCC unroll 16")

// Accumulators of vpdpbusd in its own type: where a loop carries them as __m512i, g++ copies registers about.
using Ints = i32 __attribute__((vector_size(64)));

inline __m512i load(const void* p) {
  return _mm512_loadu_si512(p);
}

template <i32 DISTANCE = AHEAD>
inline void prefetch(const u8* p) {
  _mm_prefetch(reinterpret_cast<const char*>(p + DISTANCE), _MM_HINT_T0);
}

// Four activations, the same in every lane.
inline __m512i broadcast4(const i8* q) {
  i32 four;
  __builtin_memcpy(&four, q, sizeof four);
  return _mm512_set1_epi32(four);
}

// 16 f16 as f32.
inline __m512 load_f16(const void* p) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
}

// The f32 scales of a panel's rows, be they one for the tensor or one a row.
inline __m512 row_scales(const Matrix& w, i32 panel) {
  return w.scale == Scale::tensor ? _mm512_set1_ps(w.scales[0]) : _mm512_loadu_ps(w.scales + panel * PANEL);
}

}  // namespace
}  // namespace edgellm
