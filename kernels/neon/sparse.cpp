// i8_mask and i8_group: expanded, and then as i8.
#include "expand.h"
#include "tiles.h"

namespace edgellm {
namespace {

template <class F>
[[gnu::flatten]] void one(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  const F format;
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  int32x4_t sums[2 * QUADS] = {};
  for (i32 c = 0; c < w.cols; c += SPARSE_COLUMNS) {
    unit = for_pairs(format, unit, end, [&](auto p, const Lines& lines) {
      const Broadcast x = broadcast8(q + c + 8 * p);
      unrolled<QUADS>([&](auto i) { add_pair<false>(lines[0][i], lines[1][i], x, sums[2 * i], sums[2 * i + 1]); });
    });
  }
  i32 exact[1][PANEL];
  unrolled<QUADS>([&](auto i) { vst1q_s32(&exact[0][4 * i], vpaddq_s32(sums[2 * i], sums[2 * i + 1])); });
  finish_token(w, a, y, y_stride, panel, v, 1, exact);
}

template <class F>
[[gnu::flatten]] const u8* unpack(const F& format, const u8* unit, const u8* end, i32 columns, Chunk& chunk) {
  for (i32 s = 0; s < columns / STEP; s += SPARSE_COLUMNS / STEP) {
    int8x16_t parts[QUADS][4];
    unit = for_pairs(format, unit, end, [&](auto p, const Lines& lines) {
      unrolled<QUADS>([&](auto i) {
        parts[i][p % 2 * 2] = lines[0][i];
        parts[i][p % 2 * 2 + 1] = lines[1][i];
        if constexpr (p % 2) store_step(chunk, s + p / 2, i, parts[i]);
      });
    });
  }
  return unit;
}

template <class F>
[[gnu::flatten]] void many(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0, i32 vectors) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  const F format;
  const i32 columns = align_up(w.cols, SPARSE_COLUMNS);
  alignas(64) i32 acc[VECTORS][PANEL] = {};
  Chunk chunk;
  for (i32 first = 0; first < columns; first += CHUNK) {
    const i32 n = min(CHUNK, columns - first);
    unit = unpack(format, unit, end, n, chunk);
    dot_chunk<false>(chunk, n, a, v0, vectors, first, acc);
  }
  finish_token(w, a, y, y_stride, panel, v0, vectors, acc);
}

template <class F>
void matmul_sparse(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels(
      a, row0, row1, [&](i32 panel, i32 v) { one<F>(w, a, y, y_stride, panel, v); },
      [&](i32 panel, i32 v, i32 vectors) { many<F>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_sparse(Kernels& k) {
  k.matmul_i8_mask_token = matmul_sparse<Bytes>;
  k.matmul_i8_group_token = matmul_sparse<Fours>;
}

}  // namespace edgellm
