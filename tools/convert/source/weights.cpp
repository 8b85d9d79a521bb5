#include "convert/source/weights.h"

#include <filesystem>
#include <set>

#include "convert/base/json.h"
#include "convert/source/pth.h"
#include "convert/source/safetensors.h"

namespace edgellm::convert {
namespace {

StoredTensors read_file(const std::string& path) {
  return path.ends_with(".safetensors") ? read_safetensors(path) : read_pth(path);
}

// Sizes are checked where each part is read.
void require_all(const std::string& folder, const std::string& index_path, const std::set<std::string>& parts) {
  std::vector<std::string> missing;
  std::error_code none;
  for (const std::string& part : parts) {
    if (std::filesystem::symlink_status(folder + "/" + part, none).type() == std::filesystem::file_type::not_found) {
      missing.push_back(part);
    }
  }
  if (missing.empty()) return;
  unusable(index_path, ": of the ", parts.size(), " files that it names ", missing.size(),
           missing.size() == 1 ? " is missing: " : " are missing: ", list_text(missing), ": download ",
           missing.size() == 1 ? "it" : "them");
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
  require_all(folder, index_path, parts);
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

// Of tensors of floats.
bool equal_values(const StoredTensor& a, const StoredTensor& b) {
  if (a.shape != b.shape || a.shape.size() != 2) return false;
  if (a.dtype == b.dtype && a.data.data == b.data.data) return true;
  const i64 rows = static_cast<i64>(a.shape[0]), cols = static_cast<i64>(a.shape[1]);
  const std::unique_ptr<Tensor> left = float_tensor(a.name, Role::matrix, rows, cols, a),
                                right = float_tensor(b.name, Role::matrix, rows, cols, b);
  std::vector<f32> x(static_cast<size_t>(cols)), y(x);
  for (i64 row = 0; row < rows; row++) {
    left->values(row, 1, x.data());
    right->values(row, 1, y.data());
    if (x != y) return false;
  }
  return true;
}

}  // namespace

bool tie_head(StoredTensors* stored, const std::string& embedding, const std::string& head, bool tied,
              const std::string& source, std::vector<std::string>* notes) {
  const auto own = stored->find(head), shared = stored->find(embedding);
  if (own == stored->end()) {
    if (!tied) {
      unusable(source, ": there is no tensor ", head,
               ", and tie_word_embeddings is not true; set it in config.json if the "
               "embedding is the head");
    }
    return true;
  }
  if (!tied) return false;
  if (shared == stored->end()) {
    auto moved = stored->extract(own);
    moved.key() = embedding;
    stored->insert(std::move(moved));
    return true;
  }
  if (!equal_values(own->second, shared->second)) {
    notes->push_back(text("tie_word_embeddings is true, but ", head, " differs from the embedding: it is the head"));
    return false;
  }
  stored->erase(own);
  return true;
}

std::string weights_in(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const std::string& file : {name, name + ".index.json"})
      if (file_exists(folder + "/" + file)) return file;
  }
  return "";
}

StoredTensors read_weights(const std::string& folder, const std::vector<std::string>& names) {
  const std::string name = weights_in(folder, names), path = folder + "/" + name;
  if (!name.empty()) return name.ends_with(".index.json") ? read_parts(folder, path) : read_file(path);
  unusable(folder, ": there is no ", list_text(names, " or "), ", nor an index of its parts");
}

}  // namespace edgellm::convert
