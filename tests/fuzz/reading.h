// What a conversion asks of a source: any of its rows, in each form it has.
#pragma once
#include <vector>

#include "convert/base/model.h"

inline void read(const edgellm::convert::Tensor& tensor) {
  using namespace edgellm;
  constexpr i64 MOST = 1 << 20;  // weights
  const i64 rows = min<i64>(tensor.rows, MOST / tensor.cols + 1);
  const size_t n = static_cast<size_t>(rows * tensor.cols);
  std::vector<f32> values(n);
  std::vector<i8> codes(n);
  std::vector<f32> scales(n);
  std::vector<u16> halves(n);
  for (i64 first : {i64{0}, tensor.rows - rows}) {
    tensor.values(first, rows, values.data());
    if (tensor.native() == Format::I4) tensor.i4(first, rows, codes.data(), halves.data());
    if (tensor.ternary()) tensor.codes(first, rows, codes.data(), scales.data());
  }
}

inline void read(const edgellm::convert::Model& model) {
  for (const auto& tensor : model.tensors)
    read(*tensor);
}
