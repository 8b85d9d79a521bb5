// Weights as others store them: named tensors in mapped files.
#pragma once
#include <map>

#include "convert/base/model.h"

namespace edgellm::convert {

struct StoredTensor {
  std::string name;  // as it is stored
  Dtype dtype;
  std::string dtype_name;
  std::vector<u64> shape;
  File file;
  Bytes data;  // exactly what shape and dtype need; of other dtypes whatever is there

  u64 count() const;  // values
};

using StoredTensors = std::map<std::string, StoredTensor>;

// Names and adds a tensor; `to` must not have it yet.
void add(StoredTensors* to, const std::string& name, StoredTensor tensor);

// The tensor with our name and shape. Throws as FloatTensor does.
std::unique_ptr<Tensor> float_tensor(const std::string& name, Role role, i64 rows, i64 cols, const StoredTensor& stored,
                                     f32 factor = 1);

}  // namespace edgellm::convert
