// Any format as f32: one weight's value is f32(integer) * scale, rounded once; then as f32.
#include "floats.h"

namespace edgellm {
namespace {

// A line of 64 bytes holds 8 / BITS runs of four columns: field i of byte 4r + c is column 4i + c of row r.
// Column k of the line goes to out[k] as f32(field - offset) * scale.
template <i32 BITS>
inline void dequantize_line(__m512i line, i32 offset, __m512 scale, __m512* out) {
  const __m512i mask = _mm512_set1_epi32((1 << BITS) - 1);
  UNROLL for (i32 k = 0; k < 32 / BITS; k++) {
    u32 shift = static_cast<u32>(k % 4 * 8 + k / 4 * BITS);
    __m512i code = _mm512_and_si512(_mm512_srli_epi32(line, shift), mask);
    __m512i integer = _mm512_sub_epi32(code, _mm512_set1_epi32(offset));
    out[k] = _mm512_mul_ps(_mm512_cvtepi32_ps(integer), scale);
  }
}

// In all below whole lines are converted: up to 15 columns past `count` are written, within the buffer.
struct Converted {
  using Elements = Singles;
  static constexpr i32 PANELS = 2;
};

inline const u8* converted(const __m512* buffer) {
  return reinterpret_cast<const u8*>(buffer);
}

struct I8 : Converted {
  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32 count, __m512* buffer) {
    const u8* data = unit_at(w, panel, first, 32, 512);
    const __m512 scale = row_scales(w, panel);
    const __m512i flip = _mm512_set1_epi8(-128);
    for (i32 c = 0; c < count; c += 4, data += LINE)
      dequantize_line<8>(_mm512_xor_si512(load(data), flip), 128, scale, buffer + c);
    return converted(buffer);
  }
};

struct I4 : Converted {
  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32 count, __m512* buffer) {
    const u8* data = unit_at(w, panel, first, 64, 576);
    for (i32 c = 0; c < count; c += 8) {
      const u8* unit = data + c / 64 * 576;
      dequantize_line<4>(load(unit + 64 + c % 64 / 8 * LINE), 8, load_f16(unit + c % 64 / GROUP * 32), buffer + c);
    }
    return converted(buffer);
  }
};

struct T2 : Converted {
  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32 count, __m512* buffer) {
    const u8* data = unit_at(w, panel, first, 32, 128);
    const __m512 scale = row_scales(w, panel);
    for (i32 c = 0; c < count; c += 16, data += LINE)
      dequantize_line<2>(load(data), 1, scale, buffer + c);
    return converted(buffer);
  }
};

struct T2Group : Converted {
  static const u8* columns(const Matrix& w, i32 panel, i32 first, i32 count, __m512* buffer) {
    const u8* unit = unit_at(w, panel, first, 256, 1088);
    for (i32 c = 0; c < count; c += 16)
      dequantize_line<2>(load(unit + 64 + c / 16 * LINE), 1, load_f16(unit + c / WEIGHT_GROUP * 32), buffer + c);
    return converted(buffer);
  }
};
static_assert(FLOAT_CHUNK == 256);  // one unit of t2_group

void matmul_dequantized(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  switch (w.format) {
    case Format::F32:
      return matmul_floats<F32>(w, a, y, y_stride, row0, row1);
    case Format::F16:
      return matmul_floats<F16>(w, a, y, y_stride, row0, row1);
    case Format::I8:
      return matmul_floats<I8>(w, a, y, y_stride, row0, row1);
    case Format::I4:
      return matmul_floats<I4>(w, a, y, y_stride, row0, row1);
    case Format::T2:
      return matmul_floats<T2>(w, a, y, y_stride, row0, row1);
    case Format::T2_GROUP:
      return matmul_floats<T2Group>(w, a, y, y_stride, row0, row1);
  }
}

}  // namespace

void avx512_dequantized(Kernels& k) {
  k.matmul_dequantized = matmul_dequantized;
}

}  // namespace edgellm
