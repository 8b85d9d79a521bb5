// Matrix by f32 vectors: lane = row, one chain of fma over the columns for each output. Tiles of P panels by T vectors keep
// enough chains in flight. A source S gives the weights of a column of a panel: column(c).
#pragma once
#include "lanes.h"

namespace edgellm {

// acc[p * T + t] += columns [0, columns) of panel p by vector t, in order.
template <i32 P, i32 T, class S>
[[gnu::always_inline]] static inline void add_columns(const S (&panels)[P], i32 columns, const f32* x, i64 stride,
                                                      Lanes (&acc)[P * T]) {
  i32 c = 0;
  for (; columns - c >= 4; c += 4) {
    float32x4_t four[T];
    unrolled<T>([&](auto t) { four[t] = vld1q_f32(x + t * stride + c); });
    unrolled<4 * P>([&](auto kp) {
      constexpr i32 k = kp / P, p = kp % P;
      const Lanes w = panels[p].column(c + k);
      unrolled<T * QUADS>([&](auto ti) {
        float32x4_t& sum = acc[p * T + ti / QUADS].quad[ti % QUADS];
        sum = vfmaq_laneq_f32(sum, w.quad[ti % QUADS], four[ti / QUADS], k);
      });
    });
  }
  for (; c < columns; c++) {
    unrolled<P>([&](auto p) {
      const Lanes w = panels[p].column(c);
      unrolled<T>([&](auto t) { add_scaled(acc[p * T + t], w, x[t * stride + c]); });
    });
  }
}

// y for the panels of [row0, row1); source(panel) makes the S of a panel.
template <class S, class Source>
static inline void float_matmul(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1,
                                Source&& source) {
  auto tile = [&]<i32 P, i32 T>(i32 panel, i32 v) {
    S panels[P];
    unrolled<P>([&](auto p) { panels[p] = source(panel + p); });
    Lanes acc[P * T];
    unrolled<P * T>([&](auto i) { acc[i] = all16(0); });
    const f32* x = a.x + v * static_cast<i64>(a.stride);
    add_columns<P, T, S>(panels, w.cols, x, a.stride, acc);
    unrolled<P * T>([&](auto i) { store16(y + (v + i % T) * y_stride + (panel + i / T) * PANEL, acc[i]); });
  };
  const i32 end = div_up(row1, PANEL);
  i32 panel = row0 / PANEL;
  if (a.count == 1) {
    for (; end - panel >= 2; panel += 2)
      tile.template operator()<2, 1>(panel, 0);
  }
  for (; panel < end; panel++) {
    i32 v = 0;
    for (; a.count - v >= 4; v += 4)
      tile.template operator()<1, 4>(panel, v);
    for (; a.count - v >= 2; v += 2)
      tile.template operator()<1, 2>(panel, v);
    if (v < a.count) tile.template operator()<1, 1>(panel, v);
  }
}

}  // namespace edgellm
