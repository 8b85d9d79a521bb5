// Dot products by SDOT: a lane of 32 bits is a row, it adds four columns at once; the activations of four columns are a lane
// of a register of 16. A line is 64 bytes, 16 rows by four columns of signed bytes. Weights of other formats are unpacked to
// lines in L1, chunk by chunk, when many vectors meet them. A format F says:
//   UNIT, UNIT_BYTES   columns and bytes of its unit
//   SCALES             where the weights have scales inside their units
//   MANY               from this many vectors on a chunk pays
//   unpack(data, columns, chunk)   fills a chunk from whole units, zeros to the end of a group
#pragma once
#include "neon/lanes.h"

namespace edgellm {

constexpr i32 CHUNK = 512;   // columns unpacked at a time: 8 KiB
constexpr i32 STEP = 16;     // columns of one register of activations, four lines
constexpr i32 VECTORS = 32;  // vectors that share an unpacked chunk

enum class Inside { none, per_group, per_weight_group };

struct Chunk {
  const u8* lines;  // `buffer`, or the file itself
  alignas(64) u8 buffer[CHUNK / 4 * LINE];
  alignas(64) f32 scales[CHUNK / GROUP][PANEL];  // of a group, or from the first group of a weight group on
};

// acc += four rows a quad by T vectors over 16 columns; `lines` is where the first quad's rows begin. Exact: |sum| <=
// 128 * 127 * MAX_COLUMNS < 2^31.
template <i32 T, i32 Q>
[[gnu::always_inline]] static inline void add_step(const u8* lines, const i8* q, i64 stride, int32x4_t (&acc)[T][Q]) {
  int8x16_t x[T];
  unrolled<T>([&](auto t) { x[t] = vld1q_s8(q + t * stride); });
  unrolled<4 * Q>([&](auto ji) {
    constexpr i32 j = ji / Q, i = ji % Q;
    int8x16_t w = vreinterpretq_s8_u8(vld1q_u8(lines + j * LINE + 16 * i));
    unrolled<T>([&](auto t) { acc[t][i] = vdotq_laneq_s32(acc[t][i], w, x[t], j); });
  });
}

template <i32 T, i32 Q>
[[gnu::always_inline]] static inline void add_lines(const u8* lines, i32 steps, const i8* q, i64 stride,
                                                    int32x4_t (&acc)[T][Q]) {
  for (i32 s = 0; s < steps; s++, lines += 4 * LINE, q += STEP)
    add_step<T, Q>(lines, q, stride, acc);
}

// The same for 32 columns.
template <i32 T, i32 Q>
[[gnu::always_inline]] static inline void add_group(const u8* lines, const i8* q, i64 stride, int32x4_t (&acc)[T][Q]) {
  add_step<T, Q>(lines, q, stride, acc);
  add_step<T, Q>(lines + 4 * LINE, q + STEP, stride, acc);
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

// Group g's exact sum s of four rows, from `row` on, by a vector with that scale: into `total`, in t2_group by way of `part`,
// the sum of the weight group so far.
template <class F>
[[gnu::always_inline]] static inline void fold_group(const Chunk& chunk, i32 g, i32 row, f32 scale, int32x4_t exact,
                                                     float32x4_t& total, float32x4_t& part) {
  constexpr i32 GROUPS = WEIGHT_GROUP / GROUP;
  const float32x4_t s = vcvtq_f32_s32(exact);
  if constexpr (F::SCALES == Inside::none) total = vfmaq_n_f32(total, s, scale);
  if constexpr (F::SCALES == Inside::per_group) {
    total = vfmaq_f32(total, s, vmulq_n_f32(vld1q_f32(&chunk.scales[g][row]), scale));
  }
  if constexpr (F::SCALES == Inside::per_weight_group) {
    part = vfmaq_n_f32(part, s, scale);
    if (g % GROUPS == GROUPS - 1) {
      total = vfmaq_f32(total, part, vld1q_f32(&chunk.scales[g + 1 - GROUPS][row]));
      part = vdupq_n_f32(0);
    }
  }
}

// The groups of a chunk, in order, into the f32 sums of eight rows from `row` on. `scales` are those of the activations for
// the first group, `stride` apart from one vector to the next.
template <class F, i32 T>
[[gnu::always_inline]] static inline void fold(const Chunk& chunk, i32 row, i32 groups, const i8* q, i64 q_stride,
                                               const f32* scales, i64 stride, f32 (*acc)[PANEL]) {
  float32x4_t sum[T][2], part[T][2] = {};
  unrolled<2 * T>([&](auto i) { sum[i / 2][i % 2] = vld1q_f32(&acc[i / 2][row + 4 * (i % 2)]); });
  for (i32 g = 0; g < groups; g++) {
    int32x4_t exact[T][2] = {};
    add_group<T, 2>(chunk.lines + g * (GROUP / 4 * LINE) + row * 4, q + g * GROUP, q_stride, exact);
    unrolled<2 * T>([&](auto i) {
      constexpr i32 t = i / 2, h = i % 2;
      fold_group<F>(chunk, g, row + 4 * h, scales[t * stride + g], exact[t][h], sum[t][h], part[t][h]);
    });
  }
  unrolled<2 * T>([&](auto i) { vst1q_f32(&acc[i / 2][row + 4 * (i % 2)], sum[i / 2][i % 2]); });
}

// y = f32(s) * (a.scale * w.scale[row]) of one panel for vectors [v0, v0 + vectors).
static inline void finish_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0, i32 vectors,
                                const i32 (*sums)[PANEL]) {
  for (i32 v = 0; v < vectors; v++) {
    unrolled<QUADS>([&](auto i) {
      float32x4_t scale = vmulq_n_f32(row_scales(w, panel, i), a.scales[v0 + v]);
      float32x4_t sum = vcvtq_f32_s32(vld1q_s32(&sums[v][4 * i]));
      vst1q_f32(y + (v0 + v) * y_stride + panel * PANEL + 4 * i, vmulq_f32(sum, scale));
    });
  }
}

// y = acc, times w.scale[row] where the scales are not inside the units.
template <class F>
static inline void finish_group32(const Matrix& w, f32* y, i64 y_stride, i32 panel, i32 v0, i32 vectors,
                                  const f32 (*acc)[PANEL]) {
  for (i32 v = 0; v < vectors; v++) {
    unrolled<QUADS>([&](auto i) {
      float32x4_t sum = vld1q_f32(&acc[v][4 * i]);
      if constexpr (F::SCALES == Inside::none) sum = vmulq_f32(sum, row_scales(w, panel, i));
      vst1q_f32(y + (v0 + v) * y_stride + panel * PANEL + 4 * i, sum);
    });
  }
}

// sums of vectors [v0, v0 + vectors) += the lines of n columns from `first` on.
[[gnu::always_inline]] static inline void dot_chunk(const u8* lines, i32 n, const Activations& a, i32 v0, i32 vectors,
                                                    i32 first, i32 (*sums)[PANEL]) {
  for_tiles(vectors, [&]<i32 T>(i32 v) {
    int32x4_t acc[T][QUADS];
    unrolled<T * QUADS>([&](auto i) { acc[i / QUADS][i % QUADS] = vld1q_s32(&sums[v + i / QUADS][4 * (i % QUADS)]); });
    add_lines<T, QUADS>(lines, n / STEP, a.q + (v0 + v) * static_cast<i64>(a.stride) + first, a.stride, acc);
    unrolled<T * QUADS>([&](auto i) { vst1q_s32(&sums[v + i / QUADS][4 * (i % QUADS)], acc[i / QUADS][i % QUADS]); });
  });
}

namespace {

// The many-vector matmuls of this set: y of one panel for vectors [v0, v0 + vectors).
struct Sdot {
  template <class F>
  [[gnu::flatten]] static void many_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                          i32 vectors) {
    alignas(64) i32 sums[VECTORS][PANEL] = {};
    const u8* data = w.data + panel * (div_up(w.cols, F::UNIT) * i64{F::UNIT_BYTES});
    for_chunks<F>(data, w.cols,
                  [&](const Chunk& chunk, i32 first, i32 n) { dot_chunk(chunk.lines, n, a, v0, vectors, first, sums); });
    finish_token(w, a, y, y_stride, panel, v0, vectors, sums);
  }

  template <class F>
  [[gnu::flatten]] static void many_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0,
                                            i32 vectors) {
    const i32 columns = align_up(w.cols, F::UNIT);
    const i64 groups = a.stride / GROUP;
    alignas(64) f32 acc[VECTORS][PANEL] = {};
    const u8* data = w.data + panel * (columns / F::UNIT * i64{F::UNIT_BYTES});
    for_chunks<F>(data, columns, [&](const Chunk& chunk, i32 first, i32 n) {
      for (i32 row = 0; row < PANEL; row += 8) {
        for_tiles(vectors, [&]<i32 T>(i32 v) {
          const i8* q = a.q + (v0 + v) * static_cast<i64>(a.stride) + first;
          fold<F, T>(chunk, row, n / GROUP, q, a.stride, a.scales + (v0 + v) * groups + first / GROUP, groups, acc + v);
        });
      }
    });
    finish_group32<F>(w, y, y_stride, panel, v0, vectors, acc);
  }
};

}  // namespace

// y for the panels of [row0, row1): one(panel, vector) streams the weights for a single vector, many(panel, first vector,
// vectors) serves MANY or more, up to VECTORS of them.
template <i32 MANY, class One, class Many>
static inline void for_panels(const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  for (i32 panel = row0 / PANEL; panel < div_up(row1, PANEL); panel++) {
    i32 v = 0;
    for (; a.count - v >= MANY; v += VECTORS)
      many(panel, v, min(VECTORS, a.count - v));
    for (; v < a.count; v++)
      one(panel, v);
  }
}

// The same, one(panel, data, units, vector) where units have one size.
template <class F, class One, class Many>
static inline void for_panels(const Matrix& w, const Activations& a, i32 row0, i32 row1, One&& one, Many&& many) {
  const i32 units = div_up(w.cols, F::UNIT);
  for_panels<F::MANY>(
      a, row0, row1, [&](i32 panel, i32 v) { one(panel, w.data + panel * (units * i64{F::UNIT_BYTES}), units, v); }, many);
}

}  // namespace edgellm
