#include "convert/source/gguf_blocks.h"

#include <algorithm>
#include <cmath>

#include "base/math.h"

namespace edgellm::convert {
namespace {

f32 half_at(const u8* bytes) {
  u16 bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return f16_to_f32(bits);
}

u32 word_at(const u8* bytes) {
  u32 word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// --- Blocks of 32 ---
// The low halves of 16 bytes are the first 16 weights, the high halves the others; Q5 has their fifth bits in a word.

i32 nibble(const u8* bytes, i32 i) {
  return i < 16 ? bytes[i] & 15 : bytes[i - 16] >> 4;
}

// f16 d; 16 bytes: d * (q - 8)
void q4_0_codes(const u8* b, i8* out) {
  for (i32 i = 0; i < 32; i++)
    out[i] = static_cast<i8>(nibble(b + 2, i) - 8);
}

void q4_0(const u8* b, f32* out) {
  const f32 d = half_at(b);
  for (i32 i = 0; i < 32; i++)
    out[i] = d * static_cast<f32>(nibble(b + 2, i) - 8);
}

// f16 d, m; 16 bytes: d * q + m
void q4_1(const u8* b, f32* out) {
  const f32 d = half_at(b), least = half_at(b + 2);
  for (i32 i = 0; i < 32; i++)
    out[i] = d * static_cast<f32>(nibble(b + 4, i)) + least;
}

i32 five_bits(const u8* fifth, const u8* bytes, i32 i) {
  return nibble(bytes, i) | static_cast<i32>(word_at(fifth) >> i & 1) << 4;
}

// f16 d; u32 fifth bits; 16 bytes: d * (q - 16)
void q5_0(const u8* b, f32* out) {
  const f32 d = half_at(b);
  for (i32 i = 0; i < 32; i++)
    out[i] = d * static_cast<f32>(five_bits(b + 2, b + 6, i) - 16);
}

// f16 d, m; u32 fifth bits; 16 bytes: d * q + m
void q5_1(const u8* b, f32* out) {
  const f32 d = half_at(b), least = half_at(b + 2);
  for (i32 i = 0; i < 32; i++)
    out[i] = d * static_cast<f32>(five_bits(b + 4, b + 8, i)) + least;
}

// f16 d; 32 x i8
void q8_0(const u8* b, f32* out) {
  const f32 d = half_at(b);
  for (i32 i = 0; i < 32; i++)
    out[i] = d * static_cast<f32>(static_cast<i8>(b[2 + i]));
}

// --- Ternary ---

// f16 d; two bits a weight, the lowest first: d * (q - 1). Q2_0 in either size, PQ2_0.
template <i32 WEIGHTS>
void q2_0_codes(const u8* b, i8* out) {
  for (i32 i = 0; i < WEIGHTS; i++)
    out[i] = static_cast<i8>((b[2 + i / 4] >> (i % 4 * 2) & 3) - 1);
}

template <i32 WEIGHTS>
void q2_0(const u8* b, f32* out) {
  const f32 d = half_at(b);
  i8 codes[WEIGHTS];
  q2_0_codes<WEIGHTS>(b, codes);
  for (i32 i = 0; i < WEIGHTS; i++)
    out[i] = d * static_cast<f32>(codes[i]);
}

// 64 bytes; f16 d: two bits a weight in strands of 32, the lowest first: d * (q - 1)
void tq2_0(const u8* b, f32* out) {
  const f32 d = half_at(b + 64);
  for (i32 i = 0; i < 256; i++)
    out[i] = d * static_cast<f32>((b[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3) - 1);
}

// `bytes` with `per_byte` trits each, strand after strand: a byte is a fraction of 256 in base 3, the first trit in front.
void trits(const u8* bytes, i32 count, i32 per_byte, f32 scale, f32** out) {
  static constexpr u8 POWERS[] = {1, 3, 9, 27, 81};
  for (i32 t = 0; t < per_byte; t++) {
    for (i32 i = 0; i < count; i++) {
      u8 rest = static_cast<u8>(bytes[i] * POWERS[t]);
      *(*out)++ = scale * static_cast<f32>((rest * 3 >> 8) - 1);
    }
  }
}

// 48 bytes of five trits, in parts of 32 and 16; 4 bytes of four; f16 d
void tq1_0(const u8* b, f32* out) {
  const f32 d = half_at(b + 52);
  trits(b, 32, 5, d, &out);
  trits(b + 32, 16, 5, d, &out);
  trits(b + 48, 4, 4, d, &out);
}

// 24 bytes of five trits, in parts of 16 and 8; 2 bytes of four; f16 d
void ptq1_0(const u8* b, f32* out) {
  const f32 d = half_at(b + 26);
  trits(b, 16, 5, d, &out);
  trits(b + 16, 8, 5, d, &out);
  trits(b + 24, 2, 4, d, &out);
}

// --- Blocks of 256 ---
// Groups of 16 or 32 have scales of a few bits under an f16 scale of the block. Two-bit parts lie in strands of 32, so that
// weight i has the byte two_bits says and its shift.

i32 two_bits(const u8* bytes, i32 i) {
  return bytes[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
}

// 16 x (scale, min) of 4 bits; 64 bytes; f16 d, dmin: d * scale * q - dmin * min
void q2_k(const u8* b, f32* out) {
  const f32 d = half_at(b + 80), dmin = half_at(b + 82);
  for (i32 i = 0; i < 256; i++) {
    f32 scale = d * static_cast<f32>(b[i / 16] & 15), least = dmin * static_cast<f32>(b[i / 16] >> 4);
    out[i] = scale * static_cast<f32>(two_bits(b + 16, i)) - least;
  }
}

// 32 bytes of third bits, inverted; 64 bytes; 12 bytes of 16 scales of 6 bits; f16 d: d * (scale - 32) * (q - 4)
void q3_k(const u8* b, f32* out) {
  const f32 d = half_at(b + 108);
  const u8* scales = b + 96;
  for (i32 i = 0; i < 256; i++) {
    i32 group = i / 16;
    i32 low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4, high = scales[8 + group % 4] >> (group / 4 * 2) & 3;
    i32 q = two_bits(b + 32, i) - (b[i % 32] >> (i / 32) & 1 ? 0 : 4);
    out[i] = d * static_cast<f32>((low | high << 4) - 32) * static_cast<f32>(q);
  }
}

// The scale and minimum of group g, 6 bits each: the first four groups' in the low bits of 4 + 4 bytes, whose high bits
// belong to the last four, the rest of which is in 4 more.
void scale_and_min(const u8* packed, i32 g, f32* scale, f32* least) {
  i32 s = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | packed[g - 4] >> 6 << 4;
  i32 m = g < 4 ? packed[g + 4] & 63 : packed[g + 4] >> 4 | packed[g] >> 6 << 4;
  *scale = static_cast<f32>(s);
  *least = static_cast<f32>(m);
}

// f16 d, dmin; 12 bytes of scales and minima of 8 groups; 128 bytes, in each 32 the low halves before the high ones:
// d * scale * q - dmin * min
void q4_k(const u8* b, f32* out) {
  const f32 d = half_at(b), dmin = half_at(b + 2);
  for (i32 g = 0; g < 8; g++) {
    f32 scale, least;
    scale_and_min(b + 4, g, &scale, &least);
    for (i32 i = 0; i < 32; i++) {
      i32 q = b[16 + g / 2 * 32 + i] >> (g % 2 * 4) & 15;
      *out++ = d * scale * static_cast<f32>(q) - dmin * least;
    }
  }
}

// As Q4_K, with 32 bytes of fifth bits before the 128
void q5_k(const u8* b, f32* out) {
  const f32 d = half_at(b), dmin = half_at(b + 2);
  for (i32 g = 0; g < 8; g++) {
    f32 scale, least;
    scale_and_min(b + 4, g, &scale, &least);
    for (i32 i = 0; i < 32; i++) {
      i32 q = (b[48 + g / 2 * 32 + i] >> (g % 2 * 4) & 15) | (b[16 + i] >> g & 1) << 4;
      *out++ = d * scale * static_cast<f32>(q) - dmin * least;
    }
  }
}

// 128 bytes, in each 64 the low halves before the high ones; 64 bytes of the two high bits; 16 x i8 scales; f16 d:
// d * scale * (q - 32)
void q6_k(const u8* b, f32* out) {
  const f32 d = half_at(b + 208);
  for (i32 i = 0; i < 256; i++) {
    i32 low = b[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15;
    i32 q = (low | two_bits(b + 128, i) << 4) - 32;
    out[i] = d * static_cast<f32>(static_cast<i8>(b[192 + i / 16])) * static_cast<f32>(q);
  }
}

constexpr BlockFormat FORMATS[] = {
    {0, "F32", 1, 4, nullptr, nullptr, Dtype::F32},
    {1, "F16", 1, 2, nullptr, nullptr, Dtype::F16},
    {2, "Q4_0", 32, 18, q4_0, q4_0_codes},
    {3, "Q4_1", 32, 20, q4_1, nullptr},
    {6, "Q5_0", 32, 22, q5_0, nullptr},
    {7, "Q5_1", 32, 24, q5_1, nullptr},
    {8, "Q8_0", 32, 34, q8_0, nullptr},
    {10, "Q2_K", 256, 84, q2_k, nullptr},
    {11, "Q3_K", 256, 110, q3_k, nullptr},
    {12, "Q4_K", 256, 144, q4_k, nullptr},
    {13, "Q5_K", 256, 176, q5_k, nullptr},
    {14, "Q6_K", 256, 210, q6_k, nullptr},
    {30, "BF16", 1, 2, nullptr, nullptr, Dtype::BF16},
    {34, "TQ1_0", 256, 54, tq1_0, nullptr},
    {35, "TQ2_0", 256, 66, tq2_0, nullptr},
    {GGML_I2_S, "I2_S", 4, 1, nullptr, nullptr},
    {GGML_Q2_0, "Q2_0", 64, 18, q2_0<64>, q2_0_codes<64>},
    {GGML_Q2_0, "Q2_0", 128, 34, q2_0<128>, q2_0_codes<128>},
    {142, "PQ2_0", 128, 34, q2_0<128>, q2_0_codes<128>},
    {143, "PTQ1_0", 128, 28, ptq1_0, nullptr},
};

}  // namespace

std::vector<const BlockFormat*> block_formats(u32 id) {
  std::vector<const BlockFormat*> found;
  for (const BlockFormat& format : FORMATS) {
    if (format.id == id) found.push_back(&format);
  }
  return found;
}

std::string block_format_names() {
  std::string names, last;
  for (const BlockFormat& format : FORMATS) {
    if (format.name != last) names += text(names.empty() ? "" : ", ", format.name);
    last = format.name;
  }
  return names;
}

BlockTensor::BlockTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
                         const BlockFormat& format, f32 factor)
    : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), file_(std::move(file)), data_(data),
      format_(format), factor_(factor) {}

void BlockTensor::values(i64 row, i64 count, f32* out) const {
  const u8 *from = block(row), *end = block(row + count);
  file_->read(static_cast<u64>(end - from));
  for (; from < end; from += format_.bytes) {
    format_.decode(from, out);
    for (i64 i = 0; i < format_.weights && (factor_ < 1 || factor_ > 1); i++)
      out[i] *= factor_;
    out += format_.weights;
  }
}

std::optional<Format> BlockTensor::native() const {
  if (format_.codes && !(factor_ < 1 || factor_ > 1)) return Format::I4;
  if (8 * format_.bytes > 5 * format_.weights) return Format::I8;
  return std::nullopt;
}

void BlockTensor::i4(i64 row, i64 count, i8* codes, u16* scales) const {
  for (const u8 *from = block(row), *end = block(row + count); from < end; from += format_.bytes) {
    format_.codes(from, codes);
    codes += format_.weights;
    u16 scale;
    std::memcpy(&scale, from, sizeof scale);
    scales = std::fill_n(scales, format_.weights / GROUP, scale);
  }
}

I2sTensor::I2sTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
                     std::shared_ptr<const I2sLayout> layout, f32 factor)
    : TernaryTensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), file_(std::move(file)), data_(data),
      layout_(std::move(layout)) {
  std::memcpy(&scale_, data_.data + rows * cols / 4, sizeof scale_);
  scale_ *= factor;
  if (!std::isfinite(scale_)) unusable(file_->path, ": tensor ", name, ": its scale is ", scale_);
  if (rows * cols % 128 != 0) {
    unusable(file_->path, ": tensor ", name, " (I2_S) has ", rows * cols, " weights, expected a multiple of 128");
  }
}

void I2sTensor::codes(i64 row, i64 count, i8* out, f32*) const {
  file_->read(static_cast<u64>(count * cols / 4));
  const i64 strand_weights = *layout_ == I2sLayout::x86 ? 32 : 16;
  for (i64 i = row * cols; i < (row + count) * cols; i++) {
    i64 block = i / (4 * strand_weights), strand = i / strand_weights % 4;
    i32 code = data_.data[block * strand_weights + i % strand_weights] >> (6 - 2 * strand) & 3;
    if (code == 3) {
      unusable(file_->path, ": tensor ", name, ": row ", i / cols, ", column ", i % cols,
               " has the code 3, which is no weight");
    }
    *out++ = static_cast<i8>(code - 1);
  }
}

}  // namespace edgellm::convert
