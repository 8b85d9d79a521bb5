// Matrix by int8 vectors with VNNI: vpdpbusd adds four products of unsigned codes and signed activations to each 32-bit lane, a
// row each. Codes are the weight + OFFSET, so OFFSET * (sum of q) is taken off; sums wrap on the way and are exact at the end.
//
// Many vectors: register tiles of 16 rows by T vectors read the panel as it lies, for where codes are a mask and a shift away,
// decoding them again for each tile costs less than a pass over unpacked bytes (chunks.h: for the other formats). A format F
// says:
//   UNIT, UNIT_BYTES, OFFSET
//   STEPS                                 groups of four columns in a line of 64 bytes
//   codes(line, out[STEPS])               their codes, four columns of 16 rows each; prefetches
//   group(panel, g)                       the lines of 32 columns
//   weight_scale(panel, g)                of the rows; used where fold does
//   fold(g, sum, scale, weight_scale, inner, acc)   group32: one group's sum, as f32, into the accumulators of a vector
#pragma once
#include "lanes.h"

namespace edgellm {
namespace {

constexpr i32 TILE = 8;  // vectors of a register tile

// acc = fma(sum, scale of the activations, acc): formats whose weight scale is one for the row.
inline void fold_plain(__m512 sum, f32 scale, __m512& acc) {
  acc = _mm512_fmadd_ps(sum, _mm512_set1_ps(scale), acc);
}

// sums[t] += codes of `count` lines times q, and so on for vector t. Few vectors take several accumulators each, for vpdpbusd
// takes longer than its turn. `count` times STEPS is a multiple of eight.
template <class F, i32 T>
inline void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m512i (&sums)[T]) {
  constexpr i32 CHAINS = max(1, min(4, 8 / T)), TOGETHER = max(1, CHAINS / F::STEPS);
  Ints parts[CHAINS][T];
  UNROLL for (i32 t = 0; t < T; t++) {
    parts[0][t] = Ints(sums[t]);
    UNROLL for (i32 c = 1; c < CHAINS; c++) parts[c][t] = Ints{};
  }
  for (i32 i = 0; i < count; i += TOGETHER) {
    UNROLL for (i32 k = 0; k < TOGETHER; k++, lines += LINE) {
      __m512i codes[F::STEPS];
      F::codes(lines, codes);
      UNROLL for (i32 s = 0; s < F::STEPS; s++, q += 4) {
        Ints(&part)[T] = parts[(k * F::STEPS + s) % CHAINS];
        UNROLL for (i32 t = 0; t < T; t++) {
          part[t] = Ints(_mm512_dpbusd_epi32(__m512i(part[t]), codes[s], broadcast4(q + t * stride)));
        }
      }
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    sums[t] = __m512i(parts[0][t]);
    UNROLL for (i32 c = 1; c < CHAINS; c++) sums[t] = _mm512_add_epi32(sums[t], __m512i(parts[c][t]));
  }
}

// Whole sums to f32, of `vectors` vectors from v on.
inline void store_token(const Matrix& w, const Activations& a, i32 panel, i32 v, i32 vectors, const __m512i* sums, f32* y,
                        i64 y_stride) {
  __m512 scale = row_scales(w, panel);
  for (i32 t = 0; t < vectors; t++) {
    __m512 product = _mm512_mul_ps(_mm512_set1_ps(a.scales[v + t]), scale);
    _mm512_storeu_ps(y + (v + t) * y_stride + panel * PANEL, _mm512_mul_ps(_mm512_cvtepi32_ps(sums[t]), product));
  }
}

template <class F>
void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* data) {
  i32 lines = div_up(w.cols, F::UNIT) * (F::UNIT_BYTES / LINE);
  for_tiles<TILE>(a.count, [&]<i32 T>(i32 v) {
    __m512i sums[T];
    UNROLL for (i32 t = 0; t < T; t++) sums[t] = _mm512_set1_epi32(-F::OFFSET * a.sums[v + t]);
    dot<F>(data, lines, a.q + v * i64{a.stride}, a.stride, sums);
    store_token(w, a, panel, v, T, sums, y, y_stride);
  });
}

template <class F>
void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, const u8* data) {
  i32 used = div_up(w.cols, F::UNIT) * (F::UNIT / GROUP);
  i64 groups = a.stride / GROUP;
  for_tiles<TILE>(a.count, [&]<i32 T>(i32 v) {
    const i32* q_sums = a.sums + v * groups;
    const f32* scales = a.scales + v * groups;
    __m512 acc[T], inner[T];
    UNROLL for (i32 t = 0; t < T; t++) acc[t] = inner[t] = _mm512_setzero_ps();
    for (i32 g = 0; g < used; g++) {
      __m512i sums[T];
      UNROLL for (i32 t = 0; t < T; t++) sums[t] = _mm512_set1_epi32(-F::OFFSET * q_sums[t * groups + g]);
      dot<F>(F::group(data, g), 8 / F::STEPS, a.q + v * i64{a.stride} + g * GROUP, a.stride, sums);
      __m512 weight_scale = F::weight_scale(data, g);
      UNROLL for (i32 t = 0; t < T; t++) {
        F::fold(g, _mm512_cvtepi32_ps(sums[t]), scales[t * groups + g], weight_scale, inner[t], acc[t]);
      }
    }
    UNROLL for (i32 t = 0; t < T; t++) {
      if (w.scale != Scale::none) acc[t] = _mm512_mul_ps(acc[t], row_scales(w, panel));
      _mm512_storeu_ps(y + (v + t) * y_stride + panel * PANEL, acc[t]);
    }
  });
}

// y for the panels of [row0, row1): one(panel) streams the weights for a single vector, many(panel) serves several.
template <class One, class Many>
inline void for_panels(const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    if (a.count == 1) {
      one(panel);
    } else {
      many(panel);
    }
  }
}

// The same, one(panel, data) and many(panel, data) where units have one size.
template <class F, class One, class Many>
inline void for_panels(const Matrix& w, const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  const i64 panel_bytes = i64{div_up(w.cols, F::UNIT)} * F::UNIT_BYTES;
  for_panels(
      a, row0, row1, [&](i32 panel) { one(panel, w.data + panel * panel_bytes); },
      [&](i32 panel) { many(panel, w.data + panel * panel_bytes); });
}

}  // namespace
}  // namespace edgellm
