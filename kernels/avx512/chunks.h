// Many vectors by formats whose codes cost more than a mask and a shift: a chunk of a panel is unpacked once to lines of codes in
// L1, then meets all vectors in the tiles of tiles.h.
#pragma once
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 CHUNK = 512;   // columns unpacked at a time: 8 KiB
constexpr i32 VECTORS = 64;  // vectors that share an unpacked chunk

struct Chunk {
  alignas(64) u8 lines[CHUNK / 4 * LINE];  // (columns / 4, 16 rows, 4 columns)
};

// The format of a chunk's lines.
struct Unpacked {
  static constexpr i32 STEPS = 1;
  static void codes(const u8* line, __m512i (&out)[STEPS]) { out[0] = load(line); }
};

// y of one panel and the vectors from v0 on. unpack(first, columns, chunk) is called for one chunk after the other and fills
// groups of 32 columns; the codes are OFFSET too large.
template <i32 UNIT, i32 OFFSET, class Unpack>
inline void many_unpacked(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0, Unpack&& unpack) {
  constexpr i32 COLUMNS = chunk_columns(CHUNK, UNIT);
  i32 vectors = min(VECTORS, a.count - v0);
  __m512i acc[VECTORS];
  for (i32 v = 0; v < vectors; v++)
    acc[v] = _mm512_set1_epi32(-OFFSET * a.sums[v0 + v]);
  Chunk chunk;
  for (i32 first = 0; first < w.cols; first += COLUMNS) {
    i32 n = min(COLUMNS, w.cols - first);
    unpack(first, div_up(n, UNIT) * UNIT, chunk);
    for_tiles<TILE>(vectors, [&]<i32 T>(i32 v) {
      __m512i sums[T];
      UNROLL for (i32 t = 0; t < T; t++) sums[t] = acc[v + t];
      dot<Unpacked>(chunk.lines, align_up(n, GROUP) / 4, a.q + i64{v0 + v} * a.stride + first, a.stride, sums);
      UNROLL for (i32 t = 0; t < T; t++) acc[v + t] = sums[t];
    });
  }
  store_token(w, a, panel, v0, vectors, acc, y, y_stride);
}

}  // namespace
}  // namespace edgellm
