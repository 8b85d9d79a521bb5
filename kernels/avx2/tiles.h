// Matrix by many int8 vectors. A chunk of a panel is unpacked once to bytes in L1, then meets all vectors in register tiles
// of 16 rows by T vectors. A format F says:
//   UNIT, UNIT_BYTES   columns and bytes of its unit
//   OFFSET             weight = code - OFFSET; its share of an integer sum is OFFSET * sum of q
//   unpack(data, columns, chunk)                     fills a chunk from whole units, zeros to the end of a group
//   dot<T>(lines, count, q, stride, sums)            exact sums of code * q over `count` <= 32 lines
//   fold<T>(chunk, groups, tile, acc)                group32: the groups of a chunk into the f32 accumulators, in order
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

constexpr i32 CHUNK = 512;        // columns unpacked at a time: 8 KiB
constexpr i32 VECTORS = 64;       // vectors that share an unpacked chunk
constexpr i32 DOT_COLUMNS = 128;  // columns of one int16 accumulation, 32 lines

struct Chunk {
  const u8* lines;  // (columns / 4, 16 rows, 4 columns): `buffer`, or the file itself
  alignas(64) u8 buffer[CHUNK / 4 * LINE];
  alignas(64) f32 scales[CHUNK / GROUP][PANEL];  // of the weights, for formats that have them in their units
};

// Some vectors from one column on.
struct Tile {
  const i8* q;
  i64 stride;         // from one vector to the next in q
  const f32* scales;  // of the groups, group32 only
  const i32* sums;
  i64 groups;  // from one vector to the next in scales and sums
};

// Unsigned codes: the int16 partial sums need 32 * 2 * 127 * largest code < 2^15 for 32 lines.
template <i32 T>
inline void dot_codes(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
  Words pairs[T][2];
  UNROLL for (i32 t = 0; t < T; t++) pairs[t][0] = pairs[t][1] = Words{};
  for (i32 i = 0; i < count; i++) {
    __m256i w0 = load(lines + i * LINE), w1 = load(lines + i * LINE + 32);
    UNROLL for (i32 t = 0; t < T; t++) {
      __m256i x = broadcast4(q + t * stride + 4 * i);
      pairs[t][0] += Words(_mm256_maddubs_epi16(w0, x));
      pairs[t][1] += Words(_mm256_maddubs_epi16(w1, x));
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 h = 0; h < 2; h++) sums[t][h] = widen(__m256i(pairs[t][h]));
  }
}

// The sums of group g as f32, the offset taken off.
template <class F, i32 T>
inline void dot_group(const Chunk& chunk, i32 g, const Tile& tile, __m256 (&out)[T][2]) {
  __m256i sums[T][2];
  F::template dot<T>(chunk.lines + g * (GROUP / 4 * LINE), GROUP / 4, tile.q + g * GROUP, tile.stride, sums);
  UNROLL for (i32 t = 0; t < T; t++) {
    __m256i offset = _mm256_set1_epi32(F::OFFSET * tile.sums[t * tile.groups + g]);
    UNROLL for (i32 h = 0; h < 2; h++) out[t][h] = _mm256_cvtepi32_ps(_mm256_sub_epi32(sums[t][h], offset));
  }
}

// acc = fma(x, scale, acc) in 16 lanes.
inline void fold_lanes(const f32* x, const f32* scale, f32* acc) {
  for (i32 i = 0; i < PANEL; i += HALF) {
    __m256 sum = _mm256_fmadd_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(scale + i), _mm256_loadu_ps(acc + i));
    _mm256_storeu_ps(acc + i, sum);
  }
}

// acc = fma(f32(s), scale of the activations, acc) for the groups [first, last).
template <class F, i32 T>
inline void fold_plain(const Chunk& chunk, i32 first, i32 last, const Tile& tile, f32 (*acc)[PANEL]) {
  for (i32 g = first; g < last; g++) {
    __m256 sums[T][2];
    dot_group<F, T>(chunk, g, tile, sums);
    UNROLL for (i32 t = 0; t < T; t++) {
      __m256 scale = _mm256_broadcast_ss(tile.scales + t * tile.groups + g);
      UNROLL for (i32 h = 0; h < 2; h++) {
        f32* lanes = acc[t] + h * HALF;
        _mm256_storeu_ps(lanes, _mm256_fmadd_ps(sums[t][h], scale, _mm256_loadu_ps(lanes)));
      }
    }
  }
}

// body(chunk, first column, columns) for each chunk of a panel.
template <class F, class Body>
inline void for_chunks(const u8* panel, i32 columns, Body&& body) {
  constexpr i32 COLUMNS = chunk_columns(CHUNK, F::UNIT);
  Chunk chunk;
  for (i32 k = 0; k < columns; k += COLUMNS) {
    i32 n = min(COLUMNS, columns - k);
    F::unpack(panel + static_cast<i64>(k / F::UNIT) * F::UNIT_BYTES, div_up(n, F::UNIT) * F::UNIT, chunk);
    body(chunk, k, align_up(n, GROUP));
  }
}

// acc[v] += the chunk's `n` columns, from `first` on, times vector v0 + v.
template <class F>
inline void dot_chunk(const Chunk& chunk, i32 n, const Activations& a, i32 v0, i32 vectors, i32 first, i32 (*acc)[PANEL]) {
  for_tiles<4>(vectors, [&]<i32 T>(i32 v) {
    const i8* q = a.q + (v0 + v) * static_cast<i64>(a.stride) + first;
    for (i32 k = 0; k < n; k += DOT_COLUMNS) {
      __m256i sums[T][2];
      F::template dot<T>(chunk.lines + k / 4 * LINE, min(DOT_COLUMNS, n - k) / 4, q + k, a.stride, sums);
      UNROLL for (i32 t = 0; t < T; t++) {
        UNROLL for (i32 h = 0; h < 2; h++) {
          i32* lanes = acc[v + t] + h * HALF;
          store(lanes, _mm256_add_epi32(load(lanes), sums[t][h]));
        }
      }
    }
  });
}

// Whole sums to f32, of `vectors` vectors from v0 on.
template <class F>
inline void store_token(const Matrix& w, const Activations& a, i32 panel, i32 v0, i32 vectors, i32 (*acc)[PANEL], f32* y,
                        i64 y_stride) {
  for (i32 v = 0; v < vectors; v++) {
    const __m256i offset = _mm256_set1_epi32(F::OFFSET * a.sums[v0 + v]);
    UNROLL for (i32 h = 0; h < 2; h++) {
      __m256i sum = _mm256_sub_epi32(load(acc[v] + h * HALF), offset);
      __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a.scales[v0 + v]), row_scales(w, panel, h));
      _mm256_storeu_ps(y + (v0 + v) * y_stride + panel * PANEL + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scale));
    }
  }
}

template <class F>
void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  i32 vectors = min(VECTORS, a.count - v0);
  alignas(64) i32 acc[VECTORS][PANEL];
  for (i32 v = 0; v < vectors; v++)
    clear(acc[v]);
  for_chunks<F>(w.data + panel * (div_up(w.cols, F::UNIT) * i64{F::UNIT_BYTES}), w.cols,
                [&](const Chunk& chunk, i32 first, i32 n) { dot_chunk<F>(chunk, n, a, v0, vectors, first, acc); });
  store_token<F>(w, a, panel, v0, vectors, acc, y, y_stride);
}

// With `ALL_SIZES` false less code, and more time for odd counts of vectors.
template <class F, bool ALL_SIZES = true>
void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  i32 vectors = min(VECTORS, a.count - v0), columns = align_up(w.cols, F::UNIT);
  i64 groups = a.stride / GROUP;
  alignas(64) f32 acc[VECTORS][PANEL];
  for (i32 v = 0; v < vectors; v++)
    clear(acc[v]);
  for_chunks<F>(w.data + panel * (columns / F::UNIT * i64{F::UNIT_BYTES}), columns,
                [&](const Chunk& chunk, i32 first, i32 n) {
                  auto fold = [&]<i32 T>(i32 v) {
                    i64 group = (v0 + v) * groups + first / GROUP;
                    Tile tile = {a.q + (v0 + v) * static_cast<i64>(a.stride) + first, a.stride, a.scales + group,
                                 a.sums + group, groups};
                    F::template fold<T>(chunk, n / GROUP, tile, acc + v);
                  };
                  if constexpr (ALL_SIZES) {
                    for_tiles<4>(vectors, fold);
                  } else {
                    for_most<4>(vectors, fold);
                  }
                });
  for (i32 v = 0; v < vectors; v++) {
    UNROLL for (i32 h = 0; h < 2; h++) {
      __m256 sum = _mm256_loadu_ps(acc[v] + h * HALF);
      if (w.scale != Scale::none) sum = _mm256_mul_ps(sum, row_scales(w, panel, h));
      _mm256_storeu_ps(y + (v0 + v) * y_stride + panel * PANEL + h * HALF, sum);
    }
  }
}

// y for the panels of [row0, row1): one(panel) streams the weights for a single vector, many(panel, v) serves VECTORS from v on.
template <class One, class Many>
void for_panels(const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    if (a.count == 1) {
      one(panel);
    } else {
      for (i32 v = 0; v < a.count; v += VECTORS)
        many(panel, v);
    }
  }
}

// The same, one(panel, data, units) where units have one size; `many` is one of the two above.
template <class F, class One, class Many>
void for_panels(const Matrix& w, const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  const i32 units = div_up(w.cols, F::UNIT);
  for_panels(a, row0, row1, [&](i32 panel) { one(panel, w.data + panel * (units * i64{F::UNIT_BYTES}), units); }, many);
}

}  // namespace
}  // namespace edgellm
