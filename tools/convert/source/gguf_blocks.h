// How GGUF stores weights: blocks of a row with scales of their own, in the forms of ggml (ggml-org/ggml, src/ggml-common.h).
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

struct BlockFormat {
  u32 id;  // ggml_type
  const char* name;
  i64 weights, bytes;                         // of a block
  void (*decode)(const u8* block, f32* out);  // null for floats and I2_S
  void (*codes)(const u8* block, i8* out);    // value = f16 at the block's start * code in [-8, 7]; null for others
  Dtype dtype = Dtype::other;                 // of floats
};

constexpr u32 GGML_I2_S = 36;
constexpr i64 I2_S_TAIL = 32;  // bytes behind the weights of a tensor, an f32 scale first
constexpr u32 GGML_Q2_0 = 42;

// The formats of a type id: none when it is not supported; two for Q2_0, whose groups are of 64 or of 128 weights.
std::vector<const BlockFormat*> block_formats(u32 id);

std::string block_format_names();

// A tensor of such blocks, rows one after the other. `factor` multiplies every value.
class BlockTensor : public Tensor {
 public:
  // `data` holds exactly the blocks and lies in `file`.
  BlockTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
              const BlockFormat& format, f32 factor);
  void values(i64 row, i64 count, f32* out) const override;
  std::optional<Format> native() const override;
  void i4(i64 row, i64 count, i8* codes, u16* scales) const override;

 private:
  const u8* block(i64 row) const { return data_.data + row * (cols / format_.weights) * format_.bytes; }

  File file_;
  Bytes data_;
  const BlockFormat& format_;
  f32 factor_;
};

// I2_S (github.com/microsoft/BitNet, src/ggml-bitnet-mad.cpp): codes 0, 1, 2 for -1, 0, 1, four a byte, and one f32 scale for the
// tensor. The weights, rows one after the other, are cut in blocks of four strands, the first in the highest bits: of 4 x 32
// where it was quantised on x86 or by Python, of 4 x 16 where on ARM. Nothing in a file says which.
class I2sTensor : public TernaryTensor {
 public:
  // `data` holds rows * cols / 4 bytes and the tail, and lies in `file`.
  I2sTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
            std::shared_ptr<const I2sLayout> layout, f32 factor);
  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::tensor, scale_}; }
  void codes(i64 row, i64 count, i8* out, f32* scales) const override;

 private:
  File file_;
  Bytes data_;
  std::shared_ptr<const I2sLayout> layout_;
  f32 scale_ = 0;
};

}  // namespace edgellm::convert
