#include "convert/family/recurrent.h"

#include <algorithm>
#include <cmath>

#include "convert/family/synthetic.h"
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

// A changed tensor, kept in memory: vectors and matrices of low rank.
class Changed : public Tensor {
 public:
  Changed(const Part& part, std::vector<f32> changed)
      : Tensor(part.ours, part.role, rows_of(part), cols_of(part)), values_(std::move(changed)) {}
  void values(i64 row, i64 count, f32* out) const override { std::copy_n(values_.data() + row * cols, count * cols, out); }

 private:
  std::vector<f32> values_;  // (rows, cols)
};

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

std::string shape_text(const std::vector<u64>& shape) {
  std::string out;
  for (u64 dimension : shape)
    out += text(out.empty() ? "" : " x ", dimension);
  return out;
}

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
  return std::make_unique<Changed>(part, std::move(values));
}

std::unique_ptr<Tensor> take(const Part& part, const StoredTensor& stored) {
  if (!shape_fits(part, stored)) {
    unusable(stored.file->path, ": tensor ", part.theirs, " has the shape ", shape_text(stored.shape), ", expected ",
             part.rows, " x ", part.cols, transposed(part) ? ", transposed" : "");
  }
  if (part.change != Change::none) return changed(part, stored);
  return float_tensor(part.ours, part.role, rows_of(part), cols_of(part), stored, part.factor);
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

}  // namespace

Part& Parts::add(const std::string& ours, const std::string& theirs, Role role, i64 rows, i64 cols) {
  list_->push_back({ours_ + ours, theirs_ + theirs, role, rows, cols});
  return list_->back();
}

Part& Parts::vector(const std::string& ours, const std::string& theirs, i64 n, f32 mean, f32 deviation, Change change) {
  Part& part = add(ours, theirs, Role::vector, 1, n);
  part.mean = mean, part.deviation = deviation, part.change = change;
  return part;
}

Part& Parts::matrix(const std::string& ours, const std::string& theirs, i64 rows, i64 cols) {
  return add(ours, theirs, Role::matrix, rows, cols);
}

Model take_parts(const Family& family, StoredTensors stored, const std::string& source,
                 const std::vector<std::string>& unused) {
  check_metadata(family.metadata, source);
  Model model;
  model.metadata = family.metadata;
  model.vocab = family.vocab;
  for (const Part& part : family.parts) {
    auto found = stored.find(part.theirs);
    if (found == stored.end()) unusable(source, ": there is no tensor ", part.theirs);
    model.tensors.push_back(take(part, found->second));
    stored.erase(found);
  }
  for (const auto& left : stored) {
    const std::string& name = left.first;
    bool known = std::any_of(unused.begin(), unused.end(), [&](const std::string& end) { return name.ends_with(end); });
    if (!known) unusable(source, ": tensor ", name, " has no place in this family or is beyond its layers");
  }
  return model;
}

Model random_model(const Family& family) {
  Model model;
  model.kind = "random weights";
  model.byte_tokenizer = true;
  model.metadata = family.metadata;
  model.vocab = family.vocab;
  for (const Part& part : family.parts) {
    f32 deviation = part.deviation > 0 ? part.deviation : 1 / std::sqrt(static_cast<f32>(part.cols));
    model.tensors.push_back(random_tensor(part.ours, part.role, rows_of(part), cols_of(part), part.mean, deviation));
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
