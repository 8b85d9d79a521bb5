// Any format as f32: one weight's value is f32(integer) * scale, rounded once; then as f32.
#include "floats.h"
#include "sparse.h"

namespace edgellm {
namespace {

// A line of 64 bytes holds 8 / BITS runs of four columns: field i of byte 4r + c is column 4i + c of row r.
// Column k of the line goes to out[k] as f32(field - offset) * scale.
template <i32 BITS>
inline void dequantize_line(const u8* line, i32 flip, i32 offset, const __m256 (&scale)[2], FloatLanes* out) {
  const __m256i mask = _mm256_set1_epi32((1 << BITS) - 1), zero = _mm256_set1_epi32(offset);
  UNROLL for (i32 h = 0; h < 2; h++) {
    __m256i x = _mm256_xor_si256(load(line + 32 * h), _mm256_set1_epi8(static_cast<char>(flip)));
    UNROLL for (i32 k = 0; k < 32 / BITS; k++) {
      i32 shift = k % 4 * 8 + k / 4 * BITS;
      __m256i integer = _mm256_sub_epi32(_mm256_and_si256(_mm256_srli_epi32(x, shift), mask), zero);
      _mm256_store_ps(out[k] + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(integer), scale[h]));
    }
  }
}

// The columns of a panel from `first` on, `count` of them. Whole lines or units are converted: up to 31 columns more are written,
// within the buffer.
void convert_i8(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* data = unit_at(w, panel, first, 32, 512);
  const __m256 scale[2] = {row_scales(w, panel, 0), row_scales(w, panel, 1)};
  for (i32 c = 0; c < count; c += 4, data += LINE)
    dequantize_line<8>(data, 0x80, 128, scale, buffer + c);
}

void convert_sparse(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* unit = find_unit(w, panel, first / SPARSE_COLUMNS);
  const __m256 scale[2] = {row_scales(w, panel, 0), row_scales(w, panel, 1)};
  u8 lines[SPARSE_LINES * LINE];
  for (i32 c = 0; c < count; c += SPARSE_COLUMNS) {
    unit = unpack_unit(w, unit, lines);
    for (i32 j = 0; j < SPARSE_LINES; j++)
      dequantize_line<8>(lines + j * LINE, 0x80, 128, scale, buffer + c + 4 * j);
  }
}

void convert_i4(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* data = unit_at(w, panel, first, 64, 576);
  for (i32 c = 0; c < count; c += GROUP) {
    const u8* unit = data + c / 64 * 576;
    i32 group = c / GROUP % 2;
    const __m256 scale[2] = {load_f16(unit + 32 * group), load_f16(unit + 32 * group + 16)};
    for (i32 j = 0; j < 4; j++)
      dequantize_line<4>(unit + 64 + (4 * group + j) * LINE, 0, 8, scale, buffer + c + 8 * j);
  }
}

void convert_t2(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* data = unit_at(w, panel, first, 32, 128);
  const __m256 scale[2] = {row_scales(w, panel, 0), row_scales(w, panel, 1)};
  for (i32 c = 0; c < count; c += 16, data += LINE)
    dequantize_line<2>(data, 0, 1, scale, buffer + c);
}

// Column by column, because a unit of 20 ends anywhere in the buffer: digit k of a byte is byte / 3^k modulo 3, by multiplication.
void convert_t5(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  constexpr i32 INVERSE[] = {65536, 21846, 7282, 2428, 810};  // 2^16 / 3^k, rounded up: exact below 243
  const __m256i one = _mm256_set1_epi32(1), three = _mm256_set1_epi32(3), mask = _mm256_set1_epi32(255);
  const __m256i last = _mm256_set1_epi32(242), third = _mm256_set1_epi32(INVERSE[1]);
  const __m256 scale[2] = {row_scales(w, panel, 0), row_scales(w, panel, 1)};
  const u8* data = unit_at(w, panel, 0, 20, 64);
  for (i32 i = 0; i < count; i++) {
    i32 column = first + i, c = column % 20;
    const __m256i inverse = _mm256_set1_epi32(INVERSE[c / 4]);
    for (i32 h = 0; h < 2; h++) {
      __m256i x = _mm256_srl_epi32(load(data + column / 20 * LINE + 32 * h), _mm_cvtsi32_si128(c % 4 * 8));
      x = _mm256_min_epi32(_mm256_and_si256(x, mask), last);
      __m256i q = _mm256_srli_epi32(_mm256_mullo_epi32(x, inverse), 16);
      __m256i digit = _mm256_sub_epi32(q, _mm256_mullo_epi32(_mm256_srli_epi32(_mm256_mullo_epi32(q, third), 16), three));
      _mm256_store_ps(buffer[i] + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(digit, one)), scale[h]));
    }
  }
}

void convert_t2_group(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* unit = unit_at(w, panel, first, 256, 1088);
  for (i32 c = 0; c < count; c += 16) {
    i32 group = c / WEIGHT_GROUP;
    const __m256 scale[2] = {load_f16(unit + 32 * group), load_f16(unit + 32 * group + 16)};
    dequantize_line<2>(unit + 64 + c / 16 * LINE, 0, 1, scale, buffer + c);
  }
}
static_assert(FLOAT_CHUNK == 256);  // one unit of t2_group

void convert_f16(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
  const u8* column = unit_at(w, panel, first, 4, 128);
  for (i32 c = 0; c < count; c++, column += Halves::BYTES) {
    for (i32 h = 0; h < 2; h++)
      _mm256_store_ps(buffer[c] + h * HALF, Halves::load(column, h));
  }
}

// One instance of the tiles serves all formats: what is converted is f32, and the format is looked at once a chunk.
struct Any {
  using Elements = Singles;
  static constexpr i32 PANELS = 2;

  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32 count, FloatLanes* buffer) {
    switch (w.format) {
      case Format::F32:
        return unit_at(w, panel, first, 4, 256);
      case Format::F16:
        convert_f16(w, panel, first, count, buffer);
        break;
      case Format::I8:
        convert_i8(w, panel, first, count, buffer);
        break;
      case Format::I8_MASK:
      case Format::I8_GROUP:
        convert_sparse(w, panel, first, count, buffer);
        break;
      case Format::I4:
        convert_i4(w, panel, first, count, buffer);
        break;
      case Format::T2:
        convert_t2(w, panel, first, count, buffer);
        break;
      case Format::T2_GROUP:
        convert_t2_group(w, panel, first, count, buffer);
        break;
      case Format::T5:
        convert_t5(w, panel, first, count, buffer);
        break;
    }
    return reinterpret_cast<const u8*>(buffer);
  }
};

void matmul_dequantized(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  matmul_floats<Any>(w, a, y, y_stride, row0, row1);
}

// All 16 rows of the panel share their cache lines, so converting them all costs little.
void row(const Matrix& w, i32 index, f32* out) {
  alignas(64) FloatLanes buffer[FLOAT_CHUNK];
  for (i32 first = 0; first < w.cols; first += FLOAT_CHUNK) {
    i32 count = min(FLOAT_CHUNK, w.cols - first);
    const u8* columns = Any::columns(w, index / PANEL, first, count, buffer);
    for (i32 c = 0; c < count; c++)
      __builtin_memcpy(out + first + c, columns + c * Singles::BYTES + index % PANEL * 4, sizeof(f32));
  }
}

}  // namespace

void avx2_dequantized(Kernels& k) {
  k.matmul_dequantized = matmul_dequantized;
  k.row = row;
}

}  // namespace edgellm
