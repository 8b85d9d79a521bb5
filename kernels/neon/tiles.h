// Matrix by many int8 vectors. A chunk of a panel is unpacked once to signed bytes in L1, with 16 columns of a row side by
// side, and then meets all vectors in register tiles of 4 rows by T vectors. A format F says:
//   UNIT, UNIT_BYTES   columns and bytes of its unit
//   SMALL              |weight| <= 8, so that products of 32 columns (|weight| <= 2: of a chunk) can be added in int16
//   SCALES             where the weights have scales inside their units
//   unpack(data, columns, chunk)   fills a chunk from whole units, zeros to the end of a group
#pragma once
#include "lanes.h"

namespace edgellm {

constexpr i32 CHUNK = 512;  // columns unpacked at a time: 8 KiB
constexpr i32 STEP = 16;    // columns of a row in one register
constexpr i32 STEP_WORDS = PANEL * STEP / 4;
constexpr i32 VECTORS = 32;  // vectors that share an unpacked chunk
constexpr i32 MANY = 3;      // from this many vectors on unpacking pays

enum class Inside { none, per_group, per_weight_group };

struct Chunk {
  alignas(64) i32 words[CHUNK / STEP][PANEL][STEP / 4];  // four weights each
  alignas(64) f32 scales[CHUNK / GROUP][PANEL];          // of a group, or from the first group of a weight group on
};

// Stores 16 columns of rows 4i to 4i + 3: `parts` are columns 0-3, 4-7, 8-11 and 12-15 of the four rows.
[[gnu::always_inline]] static inline void store_step(Chunk& chunk, i32 step, i32 i, const int8x16_t (&parts)[4]) {
  int32x4x4_t words;
  unrolled<4>([&](auto p) { words.val[p] = vreinterpretq_s32_s8(parts[p]); });
  vst4q_s32(chunk.words[step][4 * i], words);
}

// Adds four columns of four rows twice, w0 and w1, to int32 sums: two lanes a row, two rows a register.
template <bool FIRST>
[[gnu::always_inline]] static inline void add_pair(int8x16_t w0, int8x16_t w1, const Broadcast& x, int32x4_t& sum0,
                                                   int32x4_t& sum1) {
  int16x8_t low = add_low(mul_low(w0, x.group[0]), w1, x.group[1]);
  int16x8_t high = add_high(mul_high(w0, x.group[0]), w1, x.group[1]);
  sum0 = FIRST ? vpaddlq_s16(low) : vpadalq_s16(sum0, low);
  sum1 = FIRST ? vpaddlq_s16(high) : vpadalq_s16(sum1, high);
}

template <bool SMALL>
struct Accumulator {
  using Type = int32x4_t;
};
template <>
struct Accumulator<true> {
  using Type = int16x8_t;
};

// Adds 32 columns, two steps, of four rows by T vectors. FIRST: nothing has been added before.
template <bool SMALL, bool FIRST, i32 T>
[[gnu::always_inline]] static inline void add_group(const i32* words, const i8* (&x)[T],
                                                    typename Accumulator<SMALL>::Type (&acc)[T][4]) {
  int8x16_t w[2][4];
  unrolled<8>([&](auto i) { w[i / 4][i % 4] = vreinterpretq_s8_s32(vld1q_s32(words + i / 4 * STEP_WORDS + i % 4 * 4)); });
  unrolled<T>([&](auto t) {
    int8x16_t v[2];
    take32(x[t], v[0], v[1]);
    unrolled<4>([&](auto r) {
      if constexpr (SMALL) {
        acc[t][r] = FIRST ? mul_low(w[0][r], v[0]) : add_low(acc[t][r], w[0][r], v[0]);
        acc[t][r] = add_high(acc[t][r], w[0][r], v[0]);
        acc[t][r] = add_high(add_low(acc[t][r], w[1][r], v[1]), w[1][r], v[1]);
      } else {
        int16x8_t products = add_high(mul_low(w[0][r], v[0]), w[0][r], v[0]);
        acc[t][r] = FIRST ? vpaddlq_s16(products) : vpadalq_s16(acc[t][r], products);
        acc[t][r] = vpadalq_s16(acc[t][r], add_high(mul_low(w[1][r], v[1]), w[1][r], v[1]));
      }
    });
  });
}

// Exact sums of four rows by T vectors over `groups` times 32 columns, lane = row; `words` are those of the first row in the
// first step. SMALL: a lane adds 4 products a group in int16. With |w| <= 2, pairs of lanes of a CHUNK fit: 2 * 64 * 2 * 127 =
// 32512; with |w| <= 8, fours of a single group (ONE): 4 * 4 * 8 * 127 = 16256. Otherwise two products fit: 2 * 128 * 127.
template <bool SMALL, bool ONE, i32 T>
[[gnu::always_inline]] static inline void dot(const i32* words, i32 groups, const i8* q, i64 stride, int32x4_t (&sums)[T]) {
  typename Accumulator<SMALL>::Type acc[T][4] = {};
  const i8* x[T];
  unrolled<T>([&](auto t) { x[t] = q + t * stride; });
  for (i32 g = 0; g < (ONE ? 1 : groups); g++) {
    add_group<SMALL, ONE, T>(words, x, acc);
    words += 2 * STEP_WORDS;
  }
  unrolled<T>([&](auto t) {
    if constexpr (SMALL) {
      int16x8_t two = vpaddq_s16(acc[t][0], acc[t][1]), other = vpaddq_s16(acc[t][2], acc[t][3]);
      sums[t] = ONE ? vpaddlq_s16(vpaddq_s16(two, other)) : vpaddq_s32(vpaddlq_s16(two), vpaddlq_s16(other));
    } else {
      sums[t] = vpaddq_s32(vpaddq_s32(acc[t][0], acc[t][1]), vpaddq_s32(acc[t][2], acc[t][3]));
    }
  });
}

// Calls body<T>(t) for tiles of T vectors that cover [0, count).
template <class Body>
static inline void for_tiles(i32 count, Body&& body) {
  i32 t = 0;
  for (; count - t >= 4; t += 4)
    body.template operator()<4>(t);
  if (count - t >= 2) body.template operator()<2>(t), t += 2;
  if (count - t >= 1) body.template operator()<1>(t);
}

// Calls body(chunk, first column, columns) for each chunk of a panel.
template <class F, class Body>
static inline void for_chunks(const u8* panel, i32 columns, Body&& body) {
  constexpr i32 COLUMNS = chunk_columns(CHUNK, F::UNIT);
  Chunk chunk;
  for (i32 k = 0; k < columns; k += COLUMNS) {
    i32 n = min(COLUMNS, columns - k);
    F::unpack(panel + static_cast<i64>(k / F::UNIT) * F::UNIT_BYTES, div_up(n, F::UNIT) * F::UNIT, chunk);
    body(chunk, k, align_up(n, GROUP));
  }
}

// Some vectors of a matmul from one column on.
struct Tile {
  const i8* q;
  i64 stride;         // from one vector to the next in q
  const f32* scales;  // of the groups; used by group32 only
  i64 groups;         // from one vector to the next in scales
};

static inline Tile tile_of(const Activations& a, i32 vector, i32 column) {
  i64 groups = a.stride / GROUP;
  return {a.q + vector * static_cast<i64>(a.stride) + column, a.stride, a.scales + vector * groups + column / GROUP, groups};
}

// The groups of a chunk, in order, into the f32 sums of four rows from `row` on.
template <class F, i32 T>
[[gnu::always_inline]] static inline void fold(const Chunk& chunk, i32 row, i32 groups, const Tile& tile,
                                               f32 (*acc)[PANEL]) {
  constexpr i32 GROUPS = WEIGHT_GROUP / GROUP;
  float32x4_t sum[T], inner[T] = {};
  unrolled<T>([&](auto t) { sum[t] = vld1q_f32(&acc[t][row]); });
  for (i32 g = 0; g < groups; g++) {
    int32x4_t exact[T];
    dot<F::SMALL, true, T>(chunk.words[g * (GROUP / STEP)][row], 1, tile.q + g * GROUP, tile.stride, exact);
    unrolled<T>([&](auto t) {
      float32x4_t s = vcvtq_f32_s32(exact[t]);
      f32 scale = tile.scales[t * tile.groups + g];
      if constexpr (F::SCALES == Inside::none) sum[t] = vfmaq_n_f32(sum[t], s, scale);
      if constexpr (F::SCALES == Inside::per_group) {
        sum[t] = vfmaq_f32(sum[t], s, vmulq_n_f32(vld1q_f32(&chunk.scales[g][row]), scale));
      }
      if constexpr (F::SCALES == Inside::per_weight_group) {
        inner[t] = vfmaq_n_f32(inner[t], s, scale);
        if (g % GROUPS == GROUPS - 1) {
          sum[t] = vfmaq_f32(sum[t], inner[t], vld1q_f32(&chunk.scales[g + 1 - GROUPS][row]));
          inner[t] = vdupq_n_f32(0);
        }
      }
    });
  }
  unrolled<T>([&](auto t) { vst1q_f32(&acc[t][row], sum[t]); });
}

// acc of vectors [v0, v0 + vectors) += the n columns from `first` on.
template <bool SMALL>
[[gnu::always_inline]] static inline void dot_chunk(const Chunk& chunk, i32 n, const Activations& a, i32 v0, i32 vectors,
                                                    i32 first, i32 (*acc)[PANEL]) {
  for (i32 row = 0; row < PANEL; row += 4) {
    for_tiles(vectors, [&]<i32 T>(i32 v) {
      int32x4_t sums[T];
      Tile tile = tile_of(a, v0 + v, first);
      dot<SMALL, false, T>(chunk.words[0][row], n / GROUP, tile.q, tile.stride, sums);
      unrolled<T>([&](auto t) {
        i32* lanes = &acc[v + t][row];
        vst1q_s32(lanes, vaddq_s32(vld1q_s32(lanes), sums[t]));
      });
    });
  }
}

// y = f32(s) * (a.scale * w.scale[row]) of one panel for vectors [v0, v0 + vectors).
static inline void finish_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0, i32 vectors,
                                const i32 (*acc)[PANEL]) {
  for (i32 v = 0; v < vectors; v++) {
    for (i32 i = 0; i < QUADS; i++) {
      float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v0 + v]);
      float32x4_t sum = vcvtq_f32_s32(vld1q_s32(&acc[v][4 * i]));
      vst1q_f32(y + (v0 + v) * y_stride + panel * PANEL + 4 * i, vmulq_f32(sum, scale));
    }
  }
}

template <class F>
[[gnu::flatten]] static void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                        i32 vectors) {
  alignas(64) i32 acc[VECTORS][PANEL] = {};
  for_chunks<F>(w.data + panel * (div_up(w.cols, F::UNIT) * i64{F::UNIT_BYTES}), w.cols,
                [&](const Chunk& chunk, i32 first, i32 n) { dot_chunk<F::SMALL>(chunk, n, a, v0, vectors, first, acc); });
  finish_token(w, a, y, y_stride, panel, v0, vectors, acc);
}

template <class F>
[[gnu::flatten]] static void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                          i32 vectors) {
  i32 columns = align_up(w.cols, F::UNIT);
  alignas(64) f32 acc[VECTORS][PANEL] = {};
  for_chunks<F>(
      w.data + panel * (columns / F::UNIT * i64{F::UNIT_BYTES}), columns, [&](const Chunk& chunk, i32 first, i32 n) {
        for (i32 row = 0; row < PANEL; row += 4) {
          for_tiles(vectors, [&]<i32 T>(i32 v) { fold<F, T>(chunk, row, n / GROUP, tile_of(a, v0 + v, first), acc + v); });
        }
      });
  for (i32 v = 0; v < vectors; v++) {
    for (i32 i = 0; i < QUADS; i++) {
      float32x4_t sum = vld1q_f32(&acc[v][4 * i]);
      if constexpr (F::SCALES == Inside::none) sum = vmulq_f32(sum, row_scales(w, panel, i));
      vst1q_f32(y + (v0 + v) * y_stride + panel * PANEL + 4 * i, sum);
    }
  }
}

// y for the panels of [row0, row1): one(panel, vector) streams the weights for a single vector, many(panel, first vector,
// vectors) serves up to VECTORS of them.
template <class One, class Many>
static inline void for_panels(const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    i32 v = 0;
    for (; a.count - v >= MANY; v += VECTORS)
      many(panel, v, min(VECTORS, a.count - v));
    for (; v < a.count; v++)
      one(panel, v);
  }
}

// The same, one(panel, data, units, vector) where units have one size; `many` is one of the two above.
template <class F, class One, class Many>
static inline void for_panels(const Matrix& w, const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  const i32 units = div_up(w.cols, F::UNIT);
  for_panels(
      a, row0, row1, [&](i32 panel, i32 v) { one(panel, w.data + panel * (units * i64{F::UNIT_BYTES}), units, v); }, many);
}

}  // namespace edgellm
