#include "convert/family/parts.h"

#include <algorithm>
#include <cmath>

#include "convert/source/random.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

bool transposed(const Part& part) {
  return part.change == Change::transposed || part.change == Change::transposed_rate;
}

// A vector is one row, also where its values lie as (rows, cols).
i64 rows_of(const Part& part) {
  return part.role == Role::vector ? 1 : part.rows;
}
i64 cols_of(const Part& part) {
  return part.role == Role::vector ? part.rows * part.cols : part.cols;
}

std::unique_ptr<Tensor> computed_as(const Part& part, std::vector<f32> values) {
  return std::make_unique<ComputedTensor>(part.ours, part.role, rows_of(part), cols_of(part), std::move(values));
}

std::vector<u64> without_ones(const std::vector<u64>& shape) {
  std::vector<u64> out;
  std::copy_if(shape.begin(), shape.end(), std::back_inserter(out), [](u64 size) { return size != 1; });
  return out;
}

// Vectors may come in any shape, matrices with dimensions of 1 between.
bool shape_fits(const Part& part, const StoredTensor& tensor) {
  u64 rows = static_cast<u64>(part.rows), cols = static_cast<u64>(part.cols);
  if (part.role == Role::vector) return tensor.count() == rows * cols;
  if (transposed(part)) std::swap(rows, cols);
  return without_ones(tensor.shape) == without_ones({rows, cols});
}

// Vectors, and matrices of low rank.
std::unique_ptr<Tensor> changed(const Part& part, const StoredTensor& stored) {
  std::unique_ptr<Tensor> whole = float_tensor(part.ours, part.role, 1, static_cast<i64>(stored.count()), stored);
  std::vector<f32> values(static_cast<size_t>(stored.count()));  // as many as are in the file
  whole->values(0, 1, values.data());
  if (transposed(part)) {
    std::vector<f32> from = values;
    for (i64 r = 0; r < part.rows; r++) {
      for (i64 c = 0; c < part.cols; c++)
        values[static_cast<size_t>(r * part.cols + c)] = from[static_cast<size_t>(c * part.rows + r)];
    }
  }
  for (f32& value : values) {
    if (part.change == Change::complement) value = 1 - value;
    if (part.change == Change::rate || part.change == Change::transposed_rate)
      value = static_cast<f32>(-std::exp(static_cast<f64>(value)));
  }
  return computed_as(part, std::move(values));
}

std::unique_ptr<Tensor> open_floats(const Part& part, const std::string& name, const StoredTensor& stored) {
  if (!shape_fits(part, stored)) {
    unusable(stored.file->path, ": tensor ", name, " has the shape ", shape_text(stored.shape), ", expected ", part.rows,
             " x ", part.cols, transposed(part) ? ", transposed" : "");
  }
  if (part.change != Change::none) return changed(part, stored);
  return float_tensor(part.ours, part.role, rows_of(part), cols_of(part), stored, part.factor);
}

i64 layers_of(const ModelTable& table) {
  for (const auto& [key, value] : table.metadata) {
    if (key == "layers") return std::get<u32>(value);
  }
  return 0;
}

// Whether a name begins as those of the first layer do but for the number, which no layer has.
bool is_beyond_layers(const std::string& name, const ModelTable& table, Naming naming) {
  const size_t number = name.find_first_of("0123456789");
  if (number == std::string::npos) return false;
  auto is_layer = [&](const std::string& prefix) {
    return std::any_of(table.parts.begin(), table.parts.end(),
                       [&](const Part& part) { return part.names(naming).front().starts_with(prefix); });
  };
  return is_layer(name.substr(0, number) + "0.") && !is_layer(name.substr(0, name.find('.', number) + 1));
}

}  // namespace

std::vector<std::string> Part::names(Naming naming) const {
  std::vector<std::string> names{naming == Naming::gguf ? theirs.gguf : theirs.published};
  if (naming == Naming::published && !theirs.other.empty()) names.push_back(theirs.other);
  return names;
}

Part& Parts::add(const std::string& ours, const Names& theirs, Role role, i64 rows, i64 cols) {
  auto joined = [](const std::string& prefix, const std::string& name) { return name.empty() ? name : prefix + name; };
  const Names names(joined(theirs_.published, theirs.published), joined(theirs_.gguf, theirs.gguf),
                    joined(theirs_.published, theirs.other));
  list_->push_back({ours_ + ours, names, role, rows, cols});
  return list_->back();
}

Part& Parts::vector(const std::string& ours, const Names& theirs, i64 n, f32 mean, f32 deviation, Change change) {
  Part& part = add(ours, theirs, Role::vector, 1, n);
  part.mean = mean, part.deviation = deviation, part.change = change;
  return part;
}

Part& Parts::matrix(const std::string& ours, const Names& theirs, i64 rows, i64 cols) {
  return add(ours, theirs, Role::matrix, rows, cols);
}

void Parts::computed(const std::string& ours, std::vector<f32> values) {
  add(ours, "", Role::vector, 1, static_cast<i64>(values.size())).computed = std::move(values);
}

std::string layer_name(i64 layer, const char* tensor) {
  return text("layers.", layer, ".", tensor);
}

std::unique_ptr<Tensor> computed_tensor(const Part& part) {
  return computed_as(part, part.computed);
}

Model model_of(const ModelTable& table) {
  Model model;
  model.metadata = table.metadata;
  model.vocab = table.vocab;
  model.bos = table.bos;
  model.stop = table.stop;
  return model;
}

std::map<std::string, const Part*> parts_by_name(const ModelTable& table) {
  std::map<std::string, const Part*> parts;
  for (const Part& part : table.parts)
    parts.emplace(part.ours, &part);
  return parts;
}

void refuse_missing(const Part& part, const ModelTable& table, const Taking& from) {
  unusable(from.source, ": there is no tensor ", part.names(from.naming).front(), ", which ", table.name, " has",
           from.settled);
}

void refuse_left(const std::string& name, const std::string& path, const ModelTable& table, const Taking& from) {
  const bool unused =
      std::any_of(from.unused.begin(), from.unused.end(), [&](const std::string& end) { return name.ends_with(end); });
  if (unused) return;
  if (is_beyond_layers(name, table, from.naming)) {
    unusable(path, ": tensor ", name, " is beyond layer ", layers_of(table) - 1, ", the last", from.settled);
  }
  unusable(path, ": tensor ", name, " has no place in ", table.name, from.settled);
}

void note_left_out(const std::vector<std::string>& names, const ModelTable& table, const Taking& from, Model* model) {
  if (names.empty()) return;
  model->notes.push_back(text("biases that ", table.name, " does not have", from.settled, " are left out, ",
                              "as transformers leaves them out: ", names.front(),
                              names.size() > 1 ? text(" and ", names.size() - 1, " more") : ""));
}

// The numbers that the runtime will read, before any tensor is.
void check_metadata(const Metadata& metadata, const std::string& source) {
  static constexpr struct {
    const char* key;
    i64 most;
  } SIZES[] = {{"layers", MAX_LAYERS},   {"dim", MAX_COLUMNS},       {"att_dim", MAX_COLUMNS}, {"value_dim", MAX_COLUMNS},
               {"ffn_dim", MAX_COLUMNS}, {"inner", MAX_COLUMNS},     {"rank", MAX_COLUMNS},    {"heads", MAX_HEADS},
               {"groups", MAX_HEADS},    {"head_dim", MAX_HEAD_DIM}, {"states", MAX_STATES},   {"taps", MAX_TAPS},
               {"vocab", MAX_VOCAB},     {"context", MAX_CONTEXT}};
  for (const auto& [key, value] : metadata) {
    for (const auto& size : SIZES) {
      if (key == size.key) check_size(size.key, std::get<u32>(value), size.most, source);
    }
  }
}

Model take_floats(const ModelTable& table, StoredTensors stored, const Taking& from) {
  return take_parts(table, from, &stored, open_floats);
}

Model random_model(const ModelTable& table) {
  Model model = model_of(table);
  model.byte_tokenizer = true;
  model.bitnet = table.ternary;
  for (const Part& part : table.parts) {
    if (!part.computed.empty()) {
      model.tensors.push_back(computed_tensor(part));
      continue;
    }
    if (part.presence != Presence::needed) continue;
    const f32 deviation = part.deviation > 0 ? part.deviation : 1 / std::sqrt(static_cast<f32>(part.cols));
    const i64 rows = rows_of(part), cols = cols_of(part);
    if (table.ternary && part.role == Role::matrix) {
      model.tensors.push_back(random_ternary(part.ours, part.role, rows, cols, deviation * std::sqrt(2.0f)));
    } else {
      model.tensors.push_back(random_floats(part.ours, part.role, rows, cols, part.mean, deviation));
    }
  }
  return model;
}

void check_agrees(const Fields& config, const char* key, i64 found) {
  const i64 named = config.integer(key).value_or(found);
  if (named != found) unusable(config.where(), ": \"", key, "\" is ", named, ", the tensors have ", found);
}

i64 size_of(const StoredTensors& stored, const std::string& name, size_t index, const std::string& source) {
  auto found = stored.find(name);
  if (found == stored.end()) unusable(source, ": there is no tensor ", name);
  const std::vector<u64>& shape = found->second.shape;
  if (index >= shape.size() || shape[index] < 1 || shape[index] > MAX_VOCAB) {
    unusable(source, ": tensor ", name, " has the shape ", shape_text(shape), ", which is no size of a model");
  }
  return static_cast<i64>(shape[index]);
}

}  // namespace edgellm::convert
