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

// Whether the embedding is the head too, of a model whose configuration says so in `tied`, as transformers 5 decides it
// (modeling_utils.py, tie_weights): a head that differs from the embedding is the head all the same, one that equals it is taken
// out of `stored`, and one that comes without an embedding is put in its place. Throws where an untied model has no head.
bool tie_head(StoredTensors* stored, const std::string& embedding, const std::string& head, bool tied,
              const std::string& source, std::vector<std::string>* notes);

// All tensors of `folder`, which has one of the files `names`, safetensors or torch.save by its end, or its parts, which
// NAME.index.json lists. Throws when there is none of them, naming them all.
StoredTensors read_weights(const std::string& folder,
                           const std::vector<std::string>& names = {"model.safetensors", "pytorch_model.bin"});

}  // namespace edgellm::convert
