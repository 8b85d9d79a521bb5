// Safetensors files (https://github.com/huggingface/safetensors, "Format"): u64 header length, a JSON header with dtype,
// shape and byte range of every tensor, then the data. A folder holds one file, or several named by an index.
#pragma once
#include <map>

#include "model.h"

namespace edgellm::convert {

struct StoredTensor {
  Dtype dtype;
  std::string dtype_name;
  std::vector<u64> shape;
  File file;
  Bytes data;  // exactly what shape and dtype need; dtypes of no known size are not checked

  u64 count() const;  // values
};

using StoredTensors = std::map<std::string, StoredTensor>;

StoredTensors read_safetensors(const std::string& path);

// All tensors of `folder`. Throws when neither model.safetensors nor its index is there.
StoredTensors read_safetensors_folder(const std::string& folder);

}  // namespace edgellm::convert
