// Many vectors by SMMLA, which multiplies two rows by two vectors over eight columns: two lines of 64 bytes, four columns of
// 16 rows each, are zipped so that a register holds eight columns of two rows. A single vector leaves half of that idle and
// stays with SDOT.
#pragma once
#include "neon_dotprod/tiles.h"

namespace edgellm {

constexpr i32 PAIRS = PANEL / 2;  // of rows
constexpr i32 ENOUGH = 8;         // vectors from which on zipping pays
constexpr i32 TILE = 4;           // vectors of a tile

struct Zipped {
  alignas(64) u8 block[CHUNK / 8][PAIRS][16];
};

static inline void zip(const Chunk& chunk, i32 columns, Zipped& out) {
  const u8* lines = chunk.lines;
  for (i32 b = 0; b < columns / 8; b++, lines += 2 * LINE) {
    unrolled<QUADS>([&](auto i) {
      uint32x4_t first = vreinterpretq_u32_u8(vld1q_u8(lines + 16 * i));
      uint32x4_t next = vreinterpretq_u32_u8(vld1q_u8(lines + LINE + 16 * i));
      vst1q_u8(out.block[b][2 * i], vreinterpretq_u8_u32(vzip1q_u32(first, next)));
      vst1q_u8(out.block[b][2 * i + 1], vreinterpretq_u8_u32(vzip2q_u32(first, next)));
    });
  }
}

// Four vectors from one column on, the last again where there are fewer; the sums of those that are not there are never read.
struct Tile {
  const i8* q[TILE];
  const f32* scales[TILE];  // of the groups; used by group32 only
};

static inline Tile tile_of(const Activations& a, i32 v, i32 end, i32 column) {
  Tile tile;
  unrolled<TILE>([&](auto t) {
    const i64 vector = min(v + t, end - 1);
    tile.q[t] = a.q + vector * a.stride + column;
    tile.scales[t] = a.scales + vector * (a.stride / GROUP) + column / GROUP;
  });
  return tile;
}

// sums[u][r] += two rows by two vectors of R pairs of rows over 16 columns: lanes are row 0 by vector 2u, by vector 2u + 1,
// row 1 by the same. `block` is where the first pair's columns begin.
template <i32 R>
[[gnu::always_inline]] static inline void add_step(const u8* block, const Tile& tile, i32 column,
                                                   int32x4_t (&sums)[TILE / 2][R]) {
  int8x16_t pair[TILE / 2][2];
  unrolled<TILE / 2>([&](auto u) {
    int64x2_t first = vreinterpretq_s64_s8(vld1q_s8(tile.q[2 * u] + column));
    int64x2_t next = vreinterpretq_s64_s8(vld1q_s8(tile.q[2 * u + 1] + column));
    pair[u][0] = vreinterpretq_s8_s64(vzip1q_s64(first, next));
    pair[u][1] = vreinterpretq_s8_s64(vzip2q_s64(first, next));
  });
  unrolled<2 * R>([&](auto kr) {
    constexpr i32 k = kr / R, r = kr % R;
    int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(block + (k * PAIRS + r) * 16));
    unrolled<TILE / 2>([&](auto u) { sums[u][r] = vmmlaq_s32(sums[u][r], w, pair[u][k]); });
  });
}

// Four rows, from two pairs of rows, by vector t.
template <i32 T, i32 R>
[[gnu::always_inline]] static inline int32x4_t rows_of(const int32x4_t (&sums)[TILE / 2][R], i32 i) {
  const int32x4_t even = sums[T / 2][2 * i], odd = sums[T / 2][2 * i + 1];
  return T % 2 ? vuzp2q_s32(even, odd) : vuzp1q_s32(even, odd);
}

// The groups of a chunk, in order, into the f32 sums of eight rows from `row` on.
template <class F>
[[gnu::always_inline]] static inline void fold_pairs(const Chunk& chunk, const Zipped& zipped, i32 row, i32 groups,
                                                     const Tile& tile, f32 (*acc)[PANEL]) {
  float32x4_t sum[TILE][2], part[TILE][2] = {};
  unrolled<2 * TILE>([&](auto i) { sum[i / 2][i % 2] = vld1q_f32(&acc[i / 2][row + 4 * (i % 2)]); });
  for (i32 g = 0; g < groups; g++) {
    int32x4_t exact[TILE / 2][PAIRS / 2] = {};
    unrolled<GROUP / STEP>([&](auto s) {
      add_step<PAIRS / 2>(zipped.block[g * (GROUP / 8) + 2 * s][row / 2], tile, g * GROUP + s * STEP, exact);
    });
    unrolled<2 * TILE>([&](auto i) {
      constexpr i32 t = i / 2, h = i % 2;
      fold_group<F>(chunk, g, row + 4 * h, tile.scales[t][g], rows_of<t>(exact, h), sum[t][h], part[t][h]);
    });
  }
  unrolled<2 * TILE>([&](auto i) { vst1q_f32(&acc[i / 2][row + 4 * (i % 2)], sum[i / 2][i % 2]); });
}

namespace {

// The many-vector matmuls of this set: y of one panel for vectors [v0, v0 + vectors).
struct Smmla {
  template <class F>
  [[gnu::flatten]] static void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                          i32 vectors) {
    if (vectors < ENOUGH) return Sdot::many_token<F>(w, a, y, y_stride, panel, v0, vectors);
    alignas(64) i32 acc[VECTORS][PANEL] = {};
    const u8* data = w.data + panel * (div_up(w.cols, F::UNIT) * i64{F::UNIT_BYTES});
    for_chunks<F>(data, w.cols, [&](const Chunk& chunk, i32 first, i32 n) {
      Zipped zipped;
      zip(chunk, n, zipped);
      for (i32 v = 0; v < vectors; v += TILE) {
        const Tile tile = tile_of(a, v0 + v, v0 + vectors, first);
        int32x4_t sums[TILE / 2][PAIRS] = {};
        for (i32 k = 0; k < n; k += STEP)
          add_step<PAIRS>(zipped.block[k / 8][0], tile, k, sums);
        unrolled<TILE * QUADS>([&](auto ti) {
          constexpr i32 t = ti / QUADS, i = ti % QUADS;
          i32* lanes = &acc[v + t][4 * i];
          vst1q_s32(lanes, vaddq_s32(vld1q_s32(lanes), rows_of<t>(sums, i)));
        });
      }
    });
    finish_token(w, a, y, y_stride, panel, v0, vectors, acc);
  }

  template <class F>
  [[gnu::flatten]] static void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                            i32 vectors) {
    if (vectors < ENOUGH) return Sdot::many_group32<F>(w, a, y, y_stride, panel, v0, vectors);
    const i32 columns = align_up(w.cols, F::UNIT);
    alignas(64) f32 acc[VECTORS][PANEL] = {};
    const u8* data = w.data + panel * (columns / F::UNIT * i64{F::UNIT_BYTES});
    for_chunks<F>(data, columns, [&](const Chunk& chunk, i32 first, i32 n) {
      Zipped zipped;
      zip(chunk, n, zipped);
      for (i32 v = 0; v < vectors; v += TILE) {
        const Tile tile = tile_of(a, v0 + v, v0 + vectors, first);
        for (i32 row = 0; row < PANEL; row += 8)
          fold_pairs<F>(chunk, zipped, row, n / GROUP, tile, acc + v);
      }
    });
    finish_group32<F>(w, y, y_stride, panel, v0, vectors, acc);
  }
};

static_assert(VECTORS % TILE == 0);

}  // namespace

}  // namespace edgellm
