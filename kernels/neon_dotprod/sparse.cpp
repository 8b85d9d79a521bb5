// i8_mask and i8_group: expanded, and then as i8.
#include "neon/expand.h"
#include "tiles.h"

namespace edgellm {
namespace {

template <class F>
[[gnu::flatten]] void one(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  const F format;
  const i8* q = a.q + v * static_cast<i64>(a.stride);
  int32x4_t acc[QUADS] = {};
  for (i32 c = 0; c < w.cols; c += SPARSE_COLUMNS) {
    const int8x16_t x[] = {vld1q_s8(q + c), vld1q_s8(q + c + STEP)};
    unit = for_pairs(format, unit, end, [&](auto p, const Lines& lines) {
      unrolled<2 * QUADS>([&](auto li) {
        constexpr i32 l = li / QUADS, i = li % QUADS;
        acc[i] = vdotq_laneq_s32(acc[i], lines[l][i], x[p / 2], p % 2 * 2 + l);
      });
    });
  }
  i32 sums[1][PANEL];
  unrolled<QUADS>([&](auto i) { vst1q_s32(&sums[0][4 * i], acc[i]); });
  finish_token(w, a, y, y_stride, panel, v, 1, sums);
}

template <class F>
[[gnu::flatten]] const u8* unpack(const F& format, const u8* unit, const u8* end, i32 columns, u8* out) {
  for (i32 c = 0; c < columns; c += SPARSE_COLUMNS, out += SPARSE_LINES * LINE) {
    unit = for_pairs(format, unit, end, [&](auto p, const Lines& lines) {
      unrolled<2 * QUADS>(
          [&](auto i) { vst1q_u8(out + 2 * p * LINE + 16 * i, vreinterpretq_u8_s8(lines[i / QUADS][i % QUADS])); });
    });
  }
  return unit;
}

template <class F>
[[gnu::flatten]] void many(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 panel, i32 v0, i32 vectors) {
  const u8 *unit = sparse_panel(w, panel), *end = sparse_end(w);
  const F format;
  const i32 columns = align_up(w.cols, SPARSE_COLUMNS);
  alignas(64) i32 sums[VECTORS][PANEL] = {};
  Chunk chunk;
  for (i32 first = 0; first < columns; first += CHUNK) {
    const i32 n = min(CHUNK, columns - first);
    unit = unpack(format, unit, end, n, chunk.buffer);
    dot_chunk(chunk.buffer, n, a, v0, vectors, first, sums);
  }
  finish_token(w, a, y, y_stride, panel, v0, vectors, sums);
}

template <class F>
void matmul_sparse(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<2>(
      a, row0, row1, [&](i32 panel, i32 v) { one<F>(w, a, y, y_stride, panel, v); },
      [&](i32 panel, i32 v, i32 vectors) { many<F>(w, a, y, y_stride, panel, v, vectors); });
}

}  // namespace

void neon_dotprod_sparse(Kernels& k) {
  k.matmul_i8_mask_token = matmul_sparse<Bytes>;
  k.matmul_i8_group_token = matmul_sparse<Fours>;
}

}  // namespace edgellm
