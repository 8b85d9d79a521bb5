// i8_mask and i8_group (layout: kernels/ref/sparse.cpp). The bytes from a line's first on are loaded and expanded to their places;
// the sign bit turned round makes them codes, 128 too large, as in i8.
#include "sparse.h"

#include "chunks.h"

namespace edgellm {
namespace {

constexpr i32 OFFSET = 128, NEAR = 2048;  // NEAR: bytes to the prefetch, measured; AHEAD is farther than a panel is long

// Not from memory: a masked load that expands is microcode on Zen 4.
inline __m512i loaded(const u8* item) {
  __m512i bytes = load(item);
  __asm__("" : "+v"(bytes));
  return bytes;
}

struct Bytes {
  using Mask = u64;
  static constexpr i32 ITEM = 1;
  static __m512i expand(Mask mask, __m512i bytes) { return _mm512_maskz_expand_epi8(mask, bytes); }
};

struct Fours {
  using Mask = u16;
  static constexpr i32 ITEM = 4;
  static __m512i expand(Mask mask, __m512i bytes) { return _mm512_maskz_expand_epi32(mask, bytes); }
};

// body(j, codes of line j) for a unit; returns the next.
template <class F, class Body>
inline const u8* for_lines(const u8* unit, const u8* end, Body&& body) {
  constexpr i32 SIZE = sizeof(typename F::Mask);
  const u8* item = unit + SPARSE_LINES * SIZE;
  prefetch<NEAR>(unit);
  UNROLL for (i32 j = 0; j < SPARSE_LINES; j++) {
    typename F::Mask mask;
    __builtin_memcpy(&mask, unit + j * SIZE, SIZE);
    if (j % 2 == 0) prefetch<NEAR>(item);
    body(j, _mm512_xor_si512(F::expand(mask, loaded(item)), _mm512_set1_epi8(-OFFSET)));
    item += F::ITEM * __builtin_popcountll(mask);
  }
  return min(item, end);
}

template <class F>
void one(const Matrix& w, const Activations& a, i32 panel, f32* y, i64 y_stride) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  __m512i sums[4] = {_mm512_set1_epi32(-OFFSET * a.sums[0]), _mm512_setzero_si512(), _mm512_setzero_si512(),
                     _mm512_setzero_si512()};
  for (i32 c = 0; c < w.cols; c += SPARSE_COLUMNS) {
    unit = for_lines<F>(unit, end, [&](i32 j, __m512i codes) {
      sums[j % 4] = _mm512_dpbusd_epi32(sums[j % 4], codes, broadcast4(a.q + c + 4 * j));
    });
  }
  sums[0] = _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
  store_token(w, a, panel, 0, 1, sums, y, y_stride);
}

template <class F>
const u8* unpack(const u8* unit, const u8* end, i32 columns, Chunk& chunk) {
  for (i32 c = 0; c < columns; c += SPARSE_COLUMNS) {
    unit =
        for_lines<F>(unit, end, [&](i32 j, __m512i codes) { _mm512_store_si512(chunk.lines + (c / 4 + j) * LINE, codes); });
  }
  return unit;
}

void many(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0) {
  auto expand = w.format == Format::I8_MASK ? unpack<Bytes> : unpack<Fours>;
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  many_unpacked<SPARSE_COLUMNS, OFFSET>(w, a, y, y_stride, panel, v0,
                                        [&](i32, i32 n, Chunk& chunk) { unit = expand(unit, end, n, chunk); });
}

void matmul_sparse(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  auto single = w.format == Format::I8_MASK ? one<Bytes> : one<Fours>;
  for_panels(
      a, row0, row1, [&](i32 panel) { single(w, a, panel, y, y_stride); },
      [&](i32 panel) {
        for (i32 v = 0; v < a.count; v += VECTORS)
          many(w, a, y, y_stride, panel, v);
      });
}

}  // namespace

void avx512_sparse(Kernels& k) {
  k.matmul_i8_mask_token = matmul_sparse;
  k.matmul_i8_group_token = matmul_sparse;
}

}  // namespace edgellm
