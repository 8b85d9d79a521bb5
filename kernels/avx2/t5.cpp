// t5 (layout: kernels/ref/t5.cpp). One vector reads the stream once and decodes in registers; many vectors share digits
// unpacked to bytes (tiles.h).
#include "tiles.h"

namespace edgellm {
namespace {

constexpr i32 UNIT_COLUMNS = 20;

inline __m256i all(i32 byte) {
  return _mm256_set1_epi8(static_cast<char>(byte));
}

// x modulo `power`, for x < 3 * power: what is taken off too often wraps to a large number.
inline __m256i modulo(__m256i x, i32 power) {
  return _mm256_min_epu8(x, _mm256_min_epu8(_mm256_sub_epi8(x, all(power)), _mm256_sub_epi8(x, all(2 * power))));
}

struct Digits {
  __m256i digit[5];
};

inline Digits decode(__m256i bytes) {
  // Fields of two bits for the digits worth 1, 3 and 9 of 0 to 15, and of 16 to 26; a digit by 27 times it, modulo 16.
  const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 16, 17, 18, 20, 21, 22, 24));
  const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(25, 26, 32, 33, 34, 36, 37, 38, 40, 41, 42, 0, 0, 0, 0, 0));
  const __m256i by27 = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0));
  const __m256i three = all(3);
  bytes = _mm256_min_epu8(bytes, all(242));
  __m256i below81 = modulo(bytes, 81), below27 = modulo(below81, 27);
  // An index with the top bit set gives zero.
  __m256i fields = _mm256_or_si256(_mm256_shuffle_epi8(low, _mm256_add_epi8(below27, all(112))),
                                   _mm256_shuffle_epi8(high, _mm256_sub_epi8(below27, all(16))));
  return {{_mm256_and_si256(fields, three), _mm256_and_si256(_mm256_srli_epi16(fields, 2), three),
           _mm256_and_si256(_mm256_srli_epi16(fields, 4), three),
           _mm256_shuffle_epi8(by27, _mm256_sub_epi8(below81, below27)),
           _mm256_and_si256(_mm256_sub_epi8(bytes, below81), three)}};  // 81 & 3 is 1, 162 & 3 is 2
}

struct T5 {
  static constexpr i32 UNIT = UNIT_COLUMNS, UNIT_BYTES = 64, OFFSET = 1;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    u8* out = chunk.buffer;
    for (i32 c = 0; c < columns; c += UNIT, data += UNIT_BYTES, out += 5 * LINE) {
      prefetch(data);
      for (i32 h = 0; h < LINE; h += 32) {
        Digits digits = decode(load(data + h));
        UNROLL for (i32 p = 0; p < 5; p++) store(out + p * LINE + h, digits.digit[p]);
      }
    }
    for (i32 c = columns; c < align_up(columns, GROUP); c += 4, out += LINE)
      clear(out);
    chunk.lines = chunk.buffer;
  }

  // 32 lines add at most 32 * 2 * 2 * 127 = 16256 to an int16.
  template <i32 T>
  static void dot(const u8* lines, i32 count, const i8* q, i64 stride, __m256i (&sums)[T][2]) {
    dot_codes<T>(lines, count, q, stride, sums);
  }
};

// Sums of digit * q in int16. A line adds at most 5 * 2 * 2 * 127 = 2540: up to 12 lines fit.
struct Partial {
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};

  // A line of 64 bytes and the 20 activations of its columns.
  inline void add(const u8* line, const i8* q) {
    prefetch(line);
    UNROLL for (i32 h = 0; h < 2; h++) {
      Digits digits = decode(load(line + 32 * h));
      UNROLL for (i32 p = 0; p < 5; p++) {
        sums[h] = _mm256_add_epi16(sums[h], _mm256_maddubs_epi16(digits.digit[p], broadcast4(q + 4 * p)));
      }
    }
  }
};

void one_token(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  constexpr i32 FLUSH = 8;  // lines of a Partial
  __m256i sums[2] = {_mm256_set1_epi32(-a.sums[0]), _mm256_set1_epi32(-a.sums[0])};
  const i8* q = a.q;
  const i32 lines = w.cols / UNIT_COLUMNS, rest = w.cols % UNIT_COLUMNS;
  auto flush = [&](const Partial& partial) {
    UNROLL for (i32 h = 0; h < 2; h++) sums[h] = _mm256_add_epi32(sums[h], widen(partial.sums[h]));
  };
  for (i32 i = 0; i < lines; i += FLUSH) {
    Partial partial;
    for (i32 j = i; j < min(i + FLUSH, lines); j++, data += LINE, q += UNIT_COLUMNS)
      partial.add(data, q);
    flush(partial);
  }
  if (rest > 0) {
    i8 last[UNIT_COLUMNS] = {};
    __builtin_memcpy(last, q, static_cast<size_t>(rest));
    Partial partial;
    partial.add(data, last);
    flush(partial);
  }
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(a.scales[0]), row_scales(w, panel, h));
    _mm256_storeu_ps(y + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(sums[h]), scale));
  }
}

void matmul_t5_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T5>(
      w, a, row0, row1, [&](i32 panel, const u8* data, i32) { one_token(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, i32 v) { many_token<T5>(w, a, y, y_stride, panel, v); });
}

}  // namespace

void avx2_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token;
}

}  // namespace edgellm
