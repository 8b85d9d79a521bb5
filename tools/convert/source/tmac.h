// TMAC version 2, the first engine's other format: tensors under their Hugging Face names.
//
// "TMAC", u32 version, hidden_size, num_layers, num_heads, vocab_size, bits, group_size; then until the end of the file
//   u32 length, name, u32 length, dtype, u32 ndims, ndims x u32, u64 bytes, data, u64 bytes, f32 scales
//   bitnet  two bits a weight, four a byte, lowest first, 0 is -1, 1 is 0, 2 is +1, flat over the matrix; one scale a row.
//           The shape is that of the packed array, so rows = number of scales
//   int8    value = q * scale / 127, one scale a row
//   fp16    no scales
#pragma once
#include <map>

#include "convert/base/model.h"

namespace edgellm::convert {

struct TmacTensor {
  std::string dtype;
  std::vector<u32> shape;
  Bytes data, scales;

  i64 rows() const {
    if (dtype == "fp16") return shape.size() > 1 ? shape[0] : 1;
    return static_cast<i64>(scales.size / 4);
  }
};

struct Tmac {
  File file;
  u32 dim, layers, heads, vocab;
  std::map<std::string, TmacTensor> tensors;
};

bool is_tmac(Bytes head);

Tmac read_tmac(const File& file);

// What is stored under `theirs`, with our name and shape. Throws where its bytes do not fit them.
std::unique_ptr<Tensor> tmac_tensor(const std::string& name, Role role, i64 rows, i64 cols, const std::string& theirs,
                                    const TmacTensor& stored, const File& file);

}  // namespace edgellm::convert
