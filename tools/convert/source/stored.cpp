#include "convert/source/stored.h"

namespace edgellm::convert {

u64 StoredTensor::count() const {
  u64 n = 1;
  for (u64 dimension : shape)
    n *= dimension;
  return n;
}

void add(StoredTensors* to, const std::string& name, StoredTensor tensor) {
  tensor.name = name;
  const auto [place, added] = to->emplace(name, std::move(tensor));
  if (!added) unusable(place->second.file->path, ": tensor ", name, " is there twice");
}

std::unique_ptr<Tensor> float_tensor(const std::string& name, Role role, i64 rows, i64 cols, const StoredTensor& stored,
                                     f32 factor) {
  auto tensor = std::make_unique<FloatTensor>(name, role, rows, cols, stored.file, stored.data, stored.dtype, factor);
  if (!(factor < 1 || factor > 1)) tensor->origin = stored.name;
  return tensor;
}

}  // namespace edgellm::convert
