// i4 (layout: kernels/ref/i4.cpp). A code is the weight + 8. Its line has columns 8j to 8j + 3 in the low, 8j + 4 to 8j + 7 in
// the high four bits of its bytes; four lines are a group of 32 columns, which adds at most 8 * 2 * 15 * 127 = 30480 to an
// int16.
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 SCALE_BYTES = 64;  // at the start of a unit: 16 f16 of its first group, 16 of its second
constexpr i32 GROUP_LINES = 4;

struct I4 {
  static constexpr i32 UNIT = 64, UNIT_BYTES = 576, OFFSET = 8;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    const __m256i low = _mm256_set1_epi8(15);
    u8* out = chunk.buffer;
    for (i32 k = 0; k < columns; k += UNIT, data += UNIT_BYTES) {
      for (i32 i = 0; i < PANEL * 2; i += HALF)
        _mm256_store_ps(chunk.scales[k / GROUP + i / PANEL] + i % PANEL, load_f16(data + 2 * i));
      for (i32 j = 0; j < 2 * GROUP_LINES; j++, out += 2 * LINE) {
        for (i32 h = 0; h < LINE; h += 32) {
          __m256i x = load(data + SCALE_BYTES + j * LINE + h);
          store(out + h, _mm256_and_si256(x, low));
          store(out + LINE + h, _mm256_and_si256(_mm256_srli_epi16(x, 4), low));
        }
      }
    }
    chunk.lines = chunk.buffer;
  }

  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_codes<T>(lines, count, q, stride, sums);
  }

  template <i32 T>
  static void fold(const Chunk& chunk, i32 groups, const Tile& tile, f32 (*acc)[PANEL]) {
    for (i32 g = 0; g < groups; g++) {
      __m256 sums[T][2];
      dot_group<I4, T>(chunk, g, tile, sums);
      UNROLL for (i32 t = 0; t < T; t++) {
        __m256 scale = _mm256_broadcast_ss(tile.scales + t * tile.groups + g);
        UNROLL for (i32 h = 0; h < 2; h++) {
          f32* lanes = acc[t] + h * HALF;
          __m256 both = _mm256_mul_ps(_mm256_load_ps(chunk.scales[g] + h * HALF), scale);
          _mm256_storeu_ps(lanes, _mm256_fmadd_ps(sums[t][h], both, _mm256_loadu_ps(lanes)));
        }
      }
    }
  }
};

// One group: acc = fma(f32(s), weight scales * scale, acc).
inline void add_group(const u8* lines, const u8* scales, const i8* q, f32 scale, i32 q_sum, __m256 (&acc)[2]) {
  const __m256i low = _mm256_set1_epi8(15), offset = _mm256_set1_epi32(I4::OFFSET * q_sum);
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  UNROLL for (i32 j = 0; j < GROUP_LINES; j++, lines += LINE, q += 8) {
    __m256i q0 = broadcast4(q), q1 = broadcast4(q + 4);
    prefetch(lines);
    UNROLL for (i32 h = 0; h < 2; h++) {
      __m256i x = load(lines + 32 * h);
      sums[h] = _mm256_add_epi16(sums[h], _mm256_maddubs_epi16(_mm256_and_si256(x, low), q0));
      sums[h] = _mm256_add_epi16(sums[h], _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(x, 4), low), q1));
    }
  }
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256 sum = _mm256_cvtepi32_ps(_mm256_sub_epi32(widen(sums[h]), offset));
    acc[h] = _mm256_fmadd_ps(sum, _mm256_mul_ps(load_f16(scales + 16 * h), _mm256_set1_ps(scale)), acc[h]);
  }
}

void one_group32(const Activations& a, const u8* data, i32 units, f32* y) {
  __m256 acc[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (i32 g = 0; g < 2 * units; data += I4::UNIT_BYTES) {
    prefetch(data);
    for (i32 i = 0; i < 2; i++, g++) {
      add_group(data + SCALE_BYTES + i * GROUP_LINES * LINE, data + 32 * i, a.q + g * GROUP, a.scales[g], a.sums[g], acc);
    }
  }
  UNROLL for (i32 h = 0; h < 2; h++) _mm256_storeu_ps(y + h * HALF, acc[h]);
}

void matmul_i4_group32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<I4>(
      w, a, row0, row1, [&](i32 panel, const u8* data, i32 units) { one_group32(a, data, units, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_group32<I4, false>(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_i4(Kernels& k) {
  k.matmul_i4_group32 = matmul_i4_group32;
}

}  // namespace edgellm
