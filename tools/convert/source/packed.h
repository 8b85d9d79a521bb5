// Packed ternary matrices of transformers (integrations/bitnet.py): uint8 (out / 4, in), where code i (bits 2i and 2i + 1) of byte
// row r, minus 1, is the weight of output row i * out / 4 + r. A scale beside them, `weight_scale`, divides ("bitlinear") or
// multiplies ("autobitlinear") the product.
#pragma once
#include "convert/source/weights.h"

namespace edgellm::convert {

// With our name and shape; `scale` multiplies the codes.
std::unique_ptr<Tensor> packed_ternary(const std::string& name, Role role, i64 rows, i64 cols, const StoredTensor& stored,
                                       f32 scale);

}  // namespace edgellm::convert
