// Matrix by int8 vectors with VNNI: vpdpbusd adds four products of unsigned codes and signed activations to each 32-bit lane, a
// row each. Codes are the weight + OFFSET, so OFFSET * (sum of q) is taken off; sums wrap on the way and are exact at the end.
//
// Many vectors: a chunk of a panel is unpacked once to lines of codes in L1, then meets all vectors in register tiles of 16 rows
// by T vectors. A format F says:
//   UNIT, UNIT_BYTES, OFFSET
//   unpack(data, columns, chunk)                 whole units to a chunk; zeros from there to the end of a group
//   fold(chunk, group, sum, scale, inner, acc)   group32: one group's sum, as f32, into the accumulators of one vector
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

constexpr i32 CHUNK = 512;   // columns unpacked at a time: 8 KiB
constexpr i32 VECTORS = 64;  // vectors that share an unpacked chunk
constexpr i32 TILE = 8;      // vectors of a register tile

struct Chunk {
  alignas(64) u8 lines[CHUNK / 4 * LINE];  // (columns / 4, 16 rows, 4 columns)
  __m512 scales[CHUNK / GROUP];  // of the rows, a group or weight group each, for formats with scales in their units
};

// acc = fma(sum, scale of the activations, acc): formats whose weight scale is one for the row.
inline void fold_plain(__m512 sum, f32 scale, __m512& acc) {
  acc = _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), acc);
}

// sums[t] += codes of `count` lines times q, and so on for vector t. Few vectors take several accumulators each, for vpdpbusd
// takes longer than a line. `count` is a multiple of eight.
template <i32 T>
inline void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m512i (&sums)[T]) {
  constexpr i32 CHAINS = max(1, min(4, 8 / T));
  Ints parts[CHAINS][T];
  UNROLL for (i32 t = 0; t < T; t++) {
    parts[0][t] = Ints(sums[t]);
    UNROLL for (i32 c = 1; c < CHAINS; c++) parts[c][t] = Ints{};
  }
  for (i32 i = 0; i < count; i += CHAINS) {
    UNROLL for (i32 c = 0; c < CHAINS; c++) {
      __m512i codes = load(lines + (i + c) * LINE);
      UNROLL for (i32 t = 0; t < T; t++) {
        __m512i x = broadcast4(q + t * stride + 4 * (i + c));
        parts[c][t] = Ints(_mm512_dpbusd_epi32(__m512i(parts[c][t]), codes, x));
      }
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    sums[t] = __m512i(parts[0][t]);
    UNROLL for (i32 c = 1; c < CHAINS; c++) sums[t] = _mm512_add_epi32(sums[t], __m512i(parts[c][t]));
  }
}

// acc[v] += the chunk's `n` columns, from `first` on, times vector v0 + v.
inline void dot_chunk(const Chunk& chunk, i32 n, const Activations& a, i32 v0, i32 vectors, i32 first, __m512i* acc) {
  for_tiles<TILE>(vectors, [&]<i32 T>(i32 v) {
    __m512i sums[T];
    UNROLL for (i32 t = 0; t < T; t++) sums[t] = acc[v + t];
    dot<T>(chunk.lines, n / 4, a.q + i64{v0 + v} * a.stride + first, a.stride, sums);
    UNROLL for (i32 t = 0; t < T; t++) acc[v + t] = sums[t];
  });
}

// Whole sums to f32, of `vectors` vectors from v0 on.
inline void store_token(const Matrix& w, const Activations& a, i32 panel, i32 v0, i32 vectors, const __m512i* acc, f32* y,
                        i64 y_stride) {
  __m512 scale = row_scales(w, panel);
  for (i32 v = 0; v < vectors; v++) {
    __m512 product = _mm512_mul_ps(_mm512_set1_ps(a.scales[v0 + v]), scale);
    _mm512_storeu_ps(y + (v0 + v) * y_stride + panel * PANEL, _mm512_mul_ps(_mm512_cvtepi32_ps(acc[v]), product));
  }
}

template <class F>
void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* data, i32 v0) {
  constexpr i32 COLUMNS = chunk_columns(CHUNK, F::UNIT);
  i32 vectors = min(VECTORS, a.count - v0);
  __m512i acc[VECTORS];
  for (i32 v = 0; v < vectors; v++)
    acc[v] = _mm512_set1_epi32(-F::OFFSET * a.sums[v0 + v]);
  Chunk chunk;
  for (i32 first = 0; first < w.cols; first += COLUMNS, data += COLUMNS / F::UNIT * F::UNIT_BYTES) {
    i32 n = min(COLUMNS, w.cols - first);
    F::unpack(data, div_up(n, F::UNIT) * F::UNIT, chunk);
    dot_chunk(chunk, align_up(n, GROUP), a, v0, vectors, first, acc);
  }
  store_token(w, a, panel, v0, vectors, acc, y, y_stride);
}

template <class F>
void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* data, i32 v0) {
  i32 vectors = min(VECTORS, a.count - v0), columns = align_up(w.cols, F::UNIT);
  i64 groups = a.stride / GROUP;
  __m512 acc[VECTORS];
  for (i32 v = 0; v < vectors; v++)
    acc[v] = _mm512_setzero_ps();
  Chunk chunk;
  for (i32 first = 0; first < columns; first += CHUNK, data += CHUNK / F::UNIT * F::UNIT_BYTES) {
    i32 n = min(CHUNK, columns - first);
    F::unpack(data, n, chunk);
    for_tiles<TILE>(vectors, [&]<i32 T>(i32 v) {
      const i8* q = a.q + i64{v0 + v} * a.stride + first;
      i64 at = (v0 + v) * groups + first / GROUP;
      __m512 outer[T], inner[T];
      UNROLL for (i32 t = 0; t < T; t++) {
        outer[t] = acc[v + t];
        inner[t] = _mm512_setzero_ps();
      }
      for (i32 g = 0; g < n / GROUP; g++) {
        __m512i sums[T];
        UNROLL for (i32 t = 0; t < T; t++) sums[t] = _mm512_set1_epi32(-F::OFFSET * a.sums[at + t * groups + g]);
        dot<T>(chunk.lines + g * (GROUP / 4 * LINE), GROUP / 4, q + g * GROUP, a.stride, sums);
        UNROLL for (i32 t = 0; t < T; t++) {
          F::fold(chunk, g, _mm512_cvtepi32_ps(sums[t]), a.scales[at + t * groups + g], inner[t], outer[t]);
        }
      }
      UNROLL for (i32 t = 0; t < T; t++) acc[v + t] = outer[t];
    });
  }
  for (i32 v = 0; v < vectors; v++) {
    if (w.scale != Scale::none) acc[v] = _mm512_mul_ps(acc[v], row_scales(w, panel));
    _mm512_storeu_ps(y + (v0 + v) * y_stride + panel * PANEL, acc[v]);
  }
}

// y for the panels of [row0, row1): `one(panel, data)` streams the weights for a single vector, `many(panel, data, v)` serves up
// to VECTORS vectors from v on.
template <class F, class One, class Many>
inline void for_panels(const Matrix& w, const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  i64 panel_bytes = i64{div_up(w.cols, F::UNIT)} * F::UNIT_BYTES;
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    const u8* data = w.data + panel * panel_bytes;
    if (a.count == 1) {
      one(panel, data);
    } else {
      for (i32 v = 0; v < a.count; v += VECTORS)
        many(panel, data, v);
    }
  }
}

}  // namespace
}  // namespace edgellm
