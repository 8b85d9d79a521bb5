// Columns of 16 f32 or f16 lanes by f32 vectors: a lane is a row (or a slot of the KV cache), fma over the columns in order.
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

// How a column of 16 values lies in memory.
struct Singles {
  static constexpr i32 BYTES = 64;
  static __m512 load(const u8* column) { return _mm512_loadu_ps(column); }
};

struct Halves {
  static constexpr i32 BYTES = 32;
  static __m512 load(const u8* column) { return load_f16(column); }
};

// acc[p * V + t] += panel p by vector t, each over `count` columns: P * T independent chains.
template <class E, i32 P, i32 V, i32 T>
inline void multiply_columns(const u8* const (&panels)[P], i32 count, const f32* x, i64 stride, __m512* acc) {
  __m512 sums[P][T];
  UNROLL for (i32 p = 0; p < P; p++) {
    UNROLL for (i32 t = 0; t < T; t++) sums[p][t] = acc[p * V + t];
  }
  for (i32 c = 0; c < count; c++) {
    UNROLL for (i32 p = 0; p < P; p++) {
      const u8* column = panels[p] + i64{c} * E::BYTES;
      if constexpr (T > 1) prefetch(column);
      __m512 w = E::load(column);
      UNROLL for (i32 t = 0; t < T; t++) sums[p][t] = _mm512_fmadd_ps(w, _mm512_set1_ps(x[t * stride + c]), sums[p][t]);
    }
  }
  UNROLL for (i32 p = 0; p < P; p++) {
    UNROLL for (i32 t = 0; t < T; t++) acc[p * V + t] = sums[p][t];
  }
}

// Matrices of F::Elements. F::columns(w, panel, first, count, buffer) gives `count` columns of a panel from `first` on, in
// place or converted to `buffer`; `first` is a multiple of FLOAT_CHUNK and `count` at most that.
constexpr i32 FLOAT_VECTORS = 64;  // vectors that share what was converted
constexpr i32 FLOAT_CHUNK = 256;   // columns converted at a time, a multiple of every unit: 16 KiB
constexpr i32 FLOAT_TILE = 8;      // vectors of the largest register tile

// P panels from `panel` on by up to V vectors from v0 on.
template <class F, i32 P, i32 V>
void multiply_panels(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  i32 vectors = min(V, a.count - v0);
  __m512 acc[P * V], buffers[P][FLOAT_CHUNK];
  for (i32 i = 0; i < P * V; i++) {
    if (i % V < vectors) acc[i] = _mm512_setzero_ps();
  }
  for (i32 first = 0; first < w.cols; first += FLOAT_CHUNK) {
    i32 count = min(FLOAT_CHUNK, w.cols - first);
    const u8* columns[P];
    for (i32 p = 0; p < P; p++)
      columns[p] = F::columns(w, panel + p, first, count, buffers[p]);
    for_most<min(V, FLOAT_TILE)>(vectors, [&]<i32 T>(i32 v) {
      const f32* x = a.x + (v0 + v) * i64{a.stride} + first;
      multiply_columns<typename F::Elements, P, V, T>(columns, count, x, a.stride, acc + v);
    });
  }
  for (i32 i = 0; i < P * V; i++) {
    if (i % V < vectors) _mm512_storeu_ps(y + (v0 + i % V) * y_stride + (panel + i / V) * PANEL, acc[i]);
  }
}

// A single vector takes F::PANELS at once: more chains to hide the latency of fma.
template <class F>
void matmul_floats(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i32 panel = row0 / PANEL, last = div_up(row1, PANEL);
  if (a.count == 1) {
    for (; panel + F::PANELS <= last; panel += F::PANELS)
      multiply_panels<F, F::PANELS, 1>(w, a, y, y_stride, panel, 0);
  }
  for (; panel < last; panel++) {
    for (i32 v = 0; v < a.count; v += FLOAT_VECTORS)
      multiply_panels<F, 1, FLOAT_VECTORS>(w, a, y, y_stride, panel, v);
  }
}

// The start of column `first` of a panel; a unit begins there.
inline const u8* unit_at(const Matrix& w, i32 panel, i32 first, i32 columns, i32 bytes) {
  return w.data + (panel * i64{div_up(w.cols, columns)} + first / columns) * bytes;
}

// The float formats themselves are read in place.
template <class E, i32 PANELS_AT_ONCE>
struct InPlace {
  using Elements = E;
  static constexpr i32 PANELS = PANELS_AT_ONCE;

  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32, __m512*) {
    return unit_at(w, panel, first, 4, 4 * E::BYTES);
  }
};
using F32 = InPlace<Singles, 2>;
using F16 = InPlace<Halves, 4>;

}  // namespace
}  // namespace edgellm
