// t5 (layout: kernels/ref/t5.cpp). One vector reads the stream once and decodes in registers; many vectors share digits
// unpacked to bytes (chunks.h).
#include "chunks.h"

namespace edgellm {
namespace {

constexpr i32 UNIT_COLUMNS = 20;

// What is left of a byte without its highest digit, as four fields of two bits: the digits worth 1, 3, 9 and 27. Bytes of 243
// and more leave more than 80.
struct Table {
  u8 fields[128];
};

constexpr Table make_table() {
  Table table = {};
  for (i32 i = 0; i < 128; i++) {
    i32 rest = i < 80 ? i : 80;
    table.fields[i] = static_cast<u8>(rest % 3 | rest / 3 % 3 << 2 | rest / 9 % 3 << 4 | rest / 27 << 6);
  }
  return table;
}

constexpr Table TABLE = make_table();

struct Digits {
  __m512i fields;   // of the first four digits
  __m512i times81;  // the fifth digit times 81
};

struct Decoder {
  const __m512i low = load(TABLE.fields), high = load(TABLE.fields + LINE);
  const __m512i one = _mm512_set1_epi8(81), two = _mm512_set1_epi8(static_cast<char>(162));

  // What is less than 81 wraps to a large number when 81 is taken off: the smallest is the rest.
  Digits operator()(__m512i bytes) const {
    __m512i rest = _mm512_min_epu8(bytes, _mm512_min_epu8(_mm512_sub_epi8(bytes, one), _mm512_sub_epi8(bytes, two)));
    return {_mm512_permutex2var_epi8(low, rest, high), _mm512_sub_epi8(bytes, rest)};
  }
};

struct T5 {
  static constexpr i32 UNIT = UNIT_COLUMNS, UNIT_BYTES = 64;

  static void unpack(const u8* data, i32 columns, Chunk& chunk) {
    const Decoder decode;
    const __m512i three = _mm512_set1_epi8(3);
    u8* out = chunk.lines;
    for (i32 c = 0; c < columns; c += UNIT, data += UNIT_BYTES) {
      prefetch(data);
      Digits digits = decode(load(data));
      UNROLL for (u32 p = 0; p < 4; p++, out += LINE) {
        _mm512_store_si512(out, _mm512_and_si512(_mm512_srli_epi16(digits.fields, 2 * p), three));
      }
      _mm512_store_si512(out, _mm512_and_si512(digits.times81, three));  // 81 & 3 is 1, 162 & 3 is 2
      out += LINE;
    }
    for (i32 c = columns; c < align_up(columns, GROUP); c += 4, out += LINE)
      _mm512_store_si512(out, _mm512_setzero_si512());
  }
};

// Fields stay where they are and have sums of their own, 1, 4, 16, 64 and 81 times too large. The largest is 162 * 127 * 131072 /
// 5 = 539,333,427 < 2^31, so that the shift back is exact; 81 divides its sum, which a multiplication by its inverse undoes.
void one_token(const Matrix& w, const Activations& a, const u8* data, i32 panel, f32* y) {
  constexpr i32 INVERSE_OF_81 = 0x781948b1;  // modulo 2^32
  static_assert(static_cast<u32>(INVERSE_OF_81) * 81u == 1);
  const Decoder decode;
  __m512i masks[4], sums[5];
  UNROLL for (i32 p = 0; p < 4; p++) masks[p] = _mm512_set1_epi8(static_cast<char>(3 << (2 * p)));
  UNROLL for (i32 p = 0; p < 5; p++) sums[p] = _mm512_setzero_si512();
  auto add = [&](const u8* line, const i8* q) {
    prefetch(line);
    Digits digits = decode(load(line));
    UNROLL for (i32 p = 0; p < 4; p++) {
      sums[p] = _mm512_dpbusd_epi32(sums[p], _mm512_and_si512(digits.fields, masks[p]), broadcast4(q + 4 * p));
    }
    sums[4] = _mm512_dpbusd_epi32(sums[4], digits.times81, broadcast4(q + 16));
  };
  i32 c = 0;
  for (; c + UNIT_COLUMNS <= w.cols; c += UNIT_COLUMNS, data += LINE)
    add(data, a.q + c);
  if (c < w.cols) {
    i8 last[UNIT_COLUMNS] = {};
    __builtin_memcpy(last, a.q + c, static_cast<size_t>(w.cols - c));
    add(data, last);
  }
  __m512i sum = _mm512_sub_epi32(sums[0], _mm512_set1_epi32(a.sums[0]));
  UNROLL for (u32 p = 1; p < 4; p++) sum = _mm512_add_epi32(sum, _mm512_srai_epi32(sums[p], 2 * p));
  sum = _mm512_add_epi32(sum, _mm512_mullo_epi32(sums[4], _mm512_set1_epi32(INVERSE_OF_81)));
  __m512 scale = _mm512_mul_ps(_mm512_set1_ps(a.scales[0]), row_scales(w, panel));
  _mm512_storeu_ps(y, _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale));
}

void matmul_t5_token(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  for_panels<T5>(
      w, a, row0, row1, [&](i32 panel, const u8* data) { one_token(w, a, data, panel, y + panel * PANEL); },
      [&](i32 panel, const u8* data) {
        for (i32 v = 0; v < a.count; v += VECTORS) {
          many_unpacked<UNIT_COLUMNS, 1>(w, a, y, y_stride, panel, v, [&](i32 first, i32 n, Chunk& chunk) {
            T5::unpack(data + first / UNIT_COLUMNS * LINE, n, chunk);
          });
        }
      });
}

}  // namespace

void avx512_t5(Kernels& k) {
  k.matmul_t5_token = matmul_t5_token;
}

}  // namespace edgellm
