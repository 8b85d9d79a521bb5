// Matrix by f32 vectors: a lane is a row, fma over the true columns in order. A format F says:
//   columns(w, panel, first, count, buffer)   `count` columns of a panel from `first` on as f32 (count, 16 rows): in `buffer`,
//                                             or in the file itself. `first` is a multiple of FLOAT_CHUNK, `count` at most that
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

constexpr i32 FLOAT_CHUNK = 256;   // columns converted at a time, a multiple of every unit: 16 KiB a panel
constexpr i32 FLOAT_VECTORS = 64;  // vectors that share them

using FloatLanes = f32[PANEL];

// acc[p * V + t] += panel p by vector t: 2 * P * T independent chains.
template <i32 P, i32 V, i32 T>
inline void multiply_columns(const f32* const (&w)[P], i32 count, const f32* x, i64 stride, FloatLanes* acc) {
  __m256 sums[P * T][2];
  UNROLL for (i32 i = 0; i < P * T; i++) {
    sums[i][0] = _mm256_load_ps(acc[i / T * V + i % T]);
    sums[i][1] = _mm256_load_ps(acc[i / T * V + i % T] + HALF);
  }
  for (i32 c = 0; c < count; c++) {
    UNROLL for (i32 i = 0; i < P * T; i++) {
      const f32* rows = w[i / T] + c * PANEL;
      __m256 value = _mm256_broadcast_ss(x + i % T * stride + c);
      sums[i][0] = _mm256_fmadd_ps(_mm256_loadu_ps(rows), value, sums[i][0]);
      sums[i][1] = _mm256_fmadd_ps(_mm256_loadu_ps(rows + HALF), value, sums[i][1]);
    }
  }
  UNROLL for (i32 i = 0; i < P * T; i++) {
    _mm256_store_ps(acc[i / T * V + i % T], sums[i][0]);
    _mm256_store_ps(acc[i / T * V + i % T] + HALF, sums[i][1]);
  }
}

// P panels from `panel` on by up to V vectors from v0 on.
template <class F, i32 P, i32 V>
void multiply_panels(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  i32 vectors = min(V, a.count - v0);
  alignas(64) FloatLanes acc[P * V];
  alignas(64) FloatLanes buffers[P][FLOAT_CHUNK];
  for (i32 i = 0; i < P * V; i++)
    if (i % V < vectors) clear(acc[i]);
  for (i32 first = 0; first < w.cols; first += FLOAT_CHUNK) {
    i32 count = min(FLOAT_CHUNK, w.cols - first);
    const f32* columns[P];
    for (i32 p = 0; p < P; p++)
      columns[p] = F::columns(w, panel + p, first, count, buffers[p]);
    for_tiles<min(V, 4)>(vectors, [&]<i32 T>(i32 v) {
      multiply_columns<P, V, T>(columns, count, a.x + (v0 + v) * i64{a.stride} + first, a.stride, acc + v);
    });
  }
  for (i32 i = 0; i < P * V; i++) {
    if (i % V >= vectors) continue;
    __builtin_memcpy(y + (v0 + i % V) * y_stride + (panel + i / V) * PANEL, acc[i], sizeof acc[i]);
  }
}

template <class F>
void matmul_floats(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  i32 panel = row0 / PANEL, last = div_up(row1, PANEL);
  if (a.count == 1) {  // two panels at once hide half of fma's latency
    for (; panel + 2 <= last; panel += 2)
      multiply_panels<F, 2, 1>(w, a, y, y_stride, panel, 0);
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

struct F32 {
  static const f32* columns(const Matrix& w, i32 panel, i32 first, i32, FloatLanes*) {
    return reinterpret_cast<const f32*>(unit_at(w, panel, first, 4, 256));
  }
};

struct F16 {
  static const f32* columns(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
    const u8* data = unit_at(w, panel, first, 4, 128);
    for (i32 c = 0; c < count; c++, data += 32) {
      prefetch(data);
      _mm256_store_ps(buffer[c], load_f16(data));
      _mm256_store_ps(buffer[c] + HALF, load_f16(data + 16));
    }
    return buffer[0];
  }
};

}  // namespace
}  // namespace edgellm
