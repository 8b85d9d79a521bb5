#include "weights.h"

#include <set>

#include "json.h"
#include "pth.h"
#include "safetensors.h"

namespace edgellm::convert {
namespace {

StoredTensors read_file(const std::string& path) {
  return path.ends_with(".safetensors") ? read_safetensors(path) : read_pth(path);
}

StoredTensors read_parts(const std::string& folder, const std::string& index_path) {
  const Json index = read_json(index_path);
  const Json* map = index.find("weight_map");
  if (!map || !map->object()) unusable(index_path, ": there is no weight_map");
  std::set<std::string> parts;
  for (const auto& [name, part] : *map->object()) {
    if (!part.string() || part.string()->empty() || part.string()->find('/') != std::string::npos) {
      unusable(index_path, ": tensor ", name, " is in no file of this folder");
    }
    parts.insert(*part.string());
  }
  StoredTensors tensors;
  for (const std::string& part : parts) {
    for (auto& [name, tensor] : read_file(folder + "/" + part))
      add(&tensors, name, std::move(tensor));
  }
  for (const auto& [name, part] : *map->object()) {
    if (!tensors.contains(name)) unusable(index_path, ": tensor ", name, " is not in ", *part.string());
  }
  return tensors;
}

}  // namespace

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

StoredTensors read_weights(const std::string& folder, const std::vector<std::string>& names) {
  std::string expected;
  for (const std::string& name : names) {
    const std::string path = folder + "/" + name, index = path + ".index.json";
    if (file_exists(path)) return read_file(path);
    if (file_exists(index)) return read_parts(folder, index);
    expected += text(expected.empty() ? "" : " or ", name);
  }
  unusable(folder, ": there is no ", expected, ", nor an index of its parts");
}

}  // namespace edgellm::convert
