// i8 (layout: kernels/ref/i8.cpp): eight lines of bytes a unit, ready for dot products and read in place.
#include "i8.h"
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 LINES = 8;  // of a unit

struct I8 {
  static constexpr i32 UNIT = 32, UNIT_BYTES = 512, OFFSET = 0;

  static void unpack(const u8* data, i32, Chunk& chunk) { chunk.lines = data; }

  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_bytes<T>(lines, count, q, stride, sums);
  }

  template <i32 T>
  static void fold(const Chunk& chunk, i32 groups, const Tile& tile, f32 (*acc)[PANEL]) {
    fold_plain<I8, T>(chunk, 0, groups, tile, acc);
  }
};

// Adds a unit's sums: two accumulators for each half, because the chain of additions is as long as the matrix is wide.
inline void add_unit(const u8* data, const i8* q, __m256i (&sums)[2][2]) {
  for (i32 j = 0; j < LINES; j++) {
    __m256i x = broadcast4(q + 4 * j);
    UNROLL for (i32 h = 0; h < 2; h++) {
      __m256i w = load(data + j * LINE + 32 * h);
      sums[j & 1][h] = _mm256_add_epi32(sums[j & 1][h], widen(multiply(w, _mm256_abs_epi8(w), x)));
    }
  }
}

void one_token(const Matrix& w, const Activations& a, const u8* data, i32 units, i32 panel, f32* y) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i sums[2][2] = {{zero, zero}, {zero, zero}};
  for (i32 u = 0; u < units; u++)
    add_unit(data + u * I8::UNIT_BYTES, a.q + u * GROUP, sums);
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256 sum = _mm256_cvtepi32_ps(_mm256_add_epi32(sums[0][h], sums[1][h]));
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a.scales[0]), row_scales(w, panel, h));
    _mm256_storeu_ps(y + h * HALF, _mm256_mul_ps(sum, scale));
  }
}

void one_group32(const Matrix& w, const Activations& a, const u8* data, i32 units, i32 panel, f32* y) {
  const __m256i zero = _mm256_setzero_si256();
  __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (i32 g = 0; g < units; g++) {
    __m256i sums[2][2] = {{zero, zero}, {zero, zero}};
    add_unit(data + g * I8::UNIT_BYTES, a.q + g * GROUP, sums);
    __m256 scale = _mm256_broadcast_ss(a.scales + g);
    UNROLL for (i32 h = 0; h < 2; h++) {
      acc[h] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(_mm256_add_epi32(sums[0][h], sums[1][h])), scale, acc[h]);
    }
  }
  UNROLL for (i32 h = 0; h < 2; h++) _mm256_storeu_ps(y + h * HALF, _mm256_mul_ps(acc[h], row_scales(w, panel, h)));
}

void matmul_i8_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units) { one_token(w, a, data, units, panel, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_token<I8>(w, a, y, y_stride, panel, v); });
}

void matmul_i8_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I8>(
      w, a, row0, row1,
      [&](i32 panel, const u8* data, i32 units) { one_group32(w, a, data, units, panel, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_group32<I8>(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_i8(Kernels& k) {
  k.matmul_i8_token = matmul_i8_token;
  k.matmul_i8_group32 = matmul_i8_group32;
}

}  // namespace edgellm
