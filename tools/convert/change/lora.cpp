// LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, section 4.1): a matrix W (rows, cols)
// becomes W + scale * B A with A (rank, cols) and B (rows, rank); scale = alpha / rank, or alpha / sqrt(rank) when stabilised
// (arXiv:2312.03732). Of an embedding, whose weight is (ids, dim), it is the transpose of B A: A (rank, ids), B (dim, rank).
//
// PEFT (huggingface/peft, utils/save_and_load.py) saves adapter_config.json and adapter_model.safetensors or .bin, whose names are
// those of the model with "base_model.model." before them and ".lora_A", ".lora_B", ".lora_embedding_A" or ".lora_embedding_B"
// behind the module. Any other tensor stands in place of the model's own, or of a module's own copy of it ("modules_to_save").
#include "convert/change/lora.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string_view>

#include "convert/change/peft.h"
#include "convert/source/weights.h"

namespace edgellm::convert {
namespace {

// The factors of one matrix as they are stored.
struct Factors {
  const StoredTensor *a = nullptr, *b = nullptr;
  bool embedding = false;
  std::string rank_of = "";  // the module whose rank they have, if it is another one
};

std::vector<f32> all_values(const Tensor& tensor) {
  std::vector<f32> values(static_cast<size_t>(tensor.rows * tensor.cols));
  tensor.values(0, tensor.rows, values.data());
  return values;
}

// A small matrix in memory: the transpose of another one.
class Transposed : public Tensor {
 public:
  explicit Transposed(const Tensor& of) : Tensor(of.name, of.role, of.cols, of.rows), values_(all_values(of)) {}

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 r = row; r < row + count; r++) {
      for (i64 c = 0; c < cols; c++)
        *out++ = values_[static_cast<size_t>(c * rows + r)];
    }
  }

 private:
  std::vector<f32> values_;  // (cols, rows)
};

// base + scale * left right
class Merged : public Tensor {
 public:
  Merged(std::unique_ptr<Tensor> base, std::unique_ptr<Tensor> left, std::unique_ptr<Tensor> right, f32 scale)
      : Tensor(base->name, base->role, base->rows, base->cols), base_(std::move(base)), left_(std::move(left)),
        right_(std::move(right)), scale_(scale) {}

  void values(i64 row, i64 count, f32* out) const override {
    base_->values(row, count, out);
    const i64 rank = right_->rows;
    const std::vector<f32> right = all_values(*right_);
    std::vector<f32> left(static_cast<size_t>(count * rank)), sum(static_cast<size_t>(cols));
    left_->values(row, count, left.data());
    for (i64 r = 0; r < count; r++) {
      std::fill(sum.begin(), sum.end(), 0.0f);
      for (i64 k = 0; k < rank; k++) {
        const f32 factor = left[static_cast<size_t>(r * rank + k)], *from = &right[static_cast<size_t>(k * cols)];
        for (i64 c = 0; c < cols; c++)
          sum[static_cast<size_t>(c)] += factor * from[c];
      }
      for (i64 c = 0; c < cols; c++)
        out[r * cols + c] += scale_ * sum[static_cast<size_t>(c)];
    }
  }

 private:
  std::unique_ptr<Tensor> base_, left_, right_;
  f32 scale_;
};

// The table of a tied model, which is two from now on.
class Shared : public Tensor {
 public:
  Shared(std::shared_ptr<const Tensor> of, std::string tensor_name, Role tensor_role)
      : Tensor(std::move(tensor_name), tensor_role, of->rows, of->cols), of_(std::move(of)) {}
  void values(i64 row, i64 count, f32* out) const override { of_->values(row, count, out); }

 private:
  std::shared_ptr<const Tensor> of_;
};

std::string module_of(const std::string& origin) {
  return origin.substr(0, origin.rfind('.'));
}

// Takes `part` out of `name`, if it is in it.
bool cut(std::string* name, std::string_view part) {
  const size_t at = name->find(part);
  if (at != std::string::npos) name->erase(at, part.size());
  return at != std::string::npos;
}

std::string some_of(const std::set<std::string>& names) {
  return *names.begin() + (names.size() > 1 ? ", ..." : "");
}

std::string modules(size_t count) {
  return text(count, count == 1 ? " module" : " modules");
}

// In a tied model the table belongs to the embedding and the head alike. What PEFT loads in its place serves both; factors, and
// a module's own copy of it ("modules_to_save"), belong to one of them.
class Adapter {
 public:
  Adapter(const std::string& folder, Model* model)
      : model_(model), ends_(ends_of(*model)), config_(folder + "/adapter_config.json", ends_, &model->notes),
        stored_(read_weights(folder, {"adapter_model.safetensors", "adapter_model.bin"})) {}

  void merge() {
    for (const auto& [name, tensor] : stored_)
      sort_in(name, tensor);
    check_complete();
    if (const auto table = replaced_.find(head()); ends_.tied && table != replaced_.end()) {
      replaced_[embedding()] = table->second;  // of two for one table PEFT loads the head's last
      replaced_.erase(table);
    }
    for (const auto& [origin, tensor] : replaced_)
      replace(origin, *tensor);
    if (ends_.tied) part_ends();
    for (const auto& [origin, tensor] : saved_)
      replace(origin, *tensor);
    for (const auto& [module, factors] : factors_)
      merge(module, factors);
    if (!left_out_.empty()) {
      model_->notes.push_back(
          text("the adapter's tensors of ", modules(left_out_.size()),
               " have no effect, as in PEFT: its configuration does not name them: ", some_of(left_out_)));
    }
  }

 private:
  static PeftConfig::Ends ends_of(const Model& model) {
    PeftConfig::Ends ends{"", "lm_head", true};
    for (const std::unique_ptr<Tensor>& tensor : model.tensors) {
      if (tensor->role == Role::embedding) ends.embedding = module_of(tensor->origin);
      if (tensor->role == Role::head) ends.tied = false, ends.head = module_of(tensor->origin);
    }
    return ends;
  }
  std::string embedding() const { return ends_.embedding + ".weight"; }
  std::string head() const { return ends_.head + ".weight"; }

  // Where PEFT puts a tensor: with the factors of a module, in its place, in the place of the model's own; or nowhere.
  void sort_in(const std::string& name, const StoredTensor& tensor) {
    const std::string prefix = "base_model.model.";
    if (!name.starts_with(prefix)) unusable(tensor.file->path, ": tensor ", name, " does not begin with ", prefix);
    std::string rest = name.substr(prefix.size());
    cut(&rest, ".modules_to_save");
    static constexpr struct {
      const char* end;
      const StoredTensor* Factors::* factor;
      bool embedding;
    } ENDS[] = {{".lora_A.weight", &Factors::a, false},
                {".lora_B.weight", &Factors::b, false},
                {".lora_embedding_A", &Factors::a, true},
                {".lora_embedding_B", &Factors::b, true}};
    for (const auto& known : ENDS) {
      if (!rest.ends_with(known.end)) continue;
      const std::string module = rest.substr(0, rest.size() - std::string(known.end).size());
      check_place(module + ".weight", tensor);
      if (known.embedding != (module == ends_.embedding)) {
        unusable(tensor.file->path, ": tensor ", name,
                 ": an embedding has lora_embedding_A and B, other matrices lora_A and B");
      }
      if (!config_.targets(module)) {
        left_out_.insert(module);
        return;
      }
      Factors& factors = factors_[module];
      factors.*known.factor = &tensor;
      factors.embedding = known.embedding;
      return;
    }
    if (rest.find(".lora_") != std::string::npos) {
      unusable(tensor.file->path, ": tensor ", name, " is of a kind of adapter that cannot be merged (plain LoRA can)");
    }
    const bool base = cut(&rest, ".base_layer");
    const std::string module = module_of(rest);
    check_place(rest, tensor);
    if (!base && config_.saves(module)) {
      saved_[rest] = &tensor;
    } else if (base == config_.targets(module)) {
      replaced_[rest] = &tensor;
    } else {
      left_out_.insert(module);
    }
  }

  // PEFT wants every tensor of "modules_to_save"; factors that it does not find are left as they begin.
  void check_complete() const {
    std::vector<std::pair<std::string, bool>> all;  // names, and whether it is a matrix
    for (const std::unique_ptr<Tensor>& tensor : model_->tensors) {
      if (!tensor->origin.empty()) all.emplace_back(tensor->origin, tensor->role != Role::vector);
    }
    if (ends_.tied) all.emplace_back(head(), true);
    i64 targets = 0;
    std::set<std::string> missing;
    for (const auto& [origin, matrix] : all) {
      const std::string module = module_of(origin);
      if (config_.saves(module) && !saved_.contains(origin)) {
        config_.refuse("modules_to_save names ", module, ", but the adapter has no tensor ", origin);
      }
      if (!matrix || !config_.targets(module)) continue;
      targets++;
      if (!factors_.contains(module)) missing.insert(module);
    }
    if (targets == 0) config_.refuse("target_modules names no matrix of the model");
    if (missing.empty()) return;
    if (!config_.starts_at_zero()) {
      config_.refuse("the adapter has no factors for ", some_of(missing), ", where they begin at random");
    }
    model_->notes.push_back(text("the adapter has no factors for ", modules(missing.size()),
                                 " that its configuration names; nothing is added there: ", some_of(missing)));
  }

  // Makes two tables of that of a tied model, unless the adapter changes none of them or both alike.
  void part_ends() {
    const auto from = factors_.find(ends_.embedding), to = factors_.find(ends_.head);
    bool part = false;
    if (config_.keeps_saved_tied()) {  // one table, of which PEFT loads the head's last
      replace(embedding(), *saved_.at(head()));
      saved_.erase(embedding());
      saved_.erase(head());
    } else if (config_.keeps_factors_tied() && (from != factors_.end() || to != factors_.end())) {
      // One pair of factors, of which PEFT loads the head's last; each of the two has a scale of its own.
      Factors factors = to != factors_.end() ? to->second : from->second;
      factors.rank_of = ends_.embedding;
      factors_[ends_.embedding] = factors_[ends_.head] = factors;
      const f32 at_embedding = config_.scale_of(ends_.embedding), at_head = config_.scale_of(ends_.head);
      part = at_embedding < at_head || at_embedding > at_head;
      if (!part) factors_.erase(ends_.head);
    } else {
      part = from != factors_.end() || to != factors_.end() || saved_.contains(embedding()) || saved_.contains(head());
    }
    if (!part) return;
    std::unique_ptr<Tensor>& place = *find(embedding());
    const std::shared_ptr<const Tensor> table = std::move(place);
    place = std::make_unique<Shared>(table, table->name, Role::embedding);
    place->origin = embedding();
    auto own = std::make_unique<Shared>(table, "head", Role::head);
    own->origin = head();
    model_->tensors.push_back(std::move(own));
    model_->notes.push_back("embedding and head, tied in the model, differ with the adapter, as in PEFT: the file has both");
  }

  // Null: the model has none of that name.
  std::unique_ptr<Tensor>* find(const std::string& origin) const {
    for (std::unique_ptr<Tensor>& candidate : model_->tensors) {
      if (!origin.empty() && candidate->origin == origin) return &candidate;
    }
    return nullptr;
  }

  void check_place(const std::string& origin, const StoredTensor& tensor) const {
    if (std::unique_ptr<Tensor>* place = find(ends_.tied && origin == head() ? embedding() : origin)) {
      const bool factor = tensor.name.find(".lora_") != std::string::npos;
      if (!factor || (*place)->role != Role::vector) return;
      unusable(tensor.file->path, ": tensor ", tensor.name, ": ", module_of(origin), " is no matrix");
    }
    unusable(tensor.file->path, ": tensor ", tensor.name, ": ", model_->kind, " has no float tensor ", origin,
             " to merge it into");
  }

  static void check_shape(const StoredTensor& tensor, const std::vector<i64>& expected) {
    bool fits = std::equal(tensor.shape.begin(), tensor.shape.end(), expected.begin(), expected.end(),
                           [](u64 is, i64 wanted) { return is == static_cast<u64>(wanted); });
    if (fits) return;
    std::string is, wanted;
    for (u64 size : tensor.shape)
      is += text(is.empty() ? "" : " x ", size);
    for (i64 size : expected)
      wanted += text(wanted.empty() ? "" : " x ", size);
    unusable(tensor.file->path, ": tensor ", tensor.name, " has the shape ", is, ", expected ", wanted);
  }

  static std::unique_ptr<Tensor> floats(const StoredTensor& tensor) {
    return float_tensor(tensor.name, Role::narrow, static_cast<i64>(tensor.shape[0]), static_cast<i64>(tensor.shape[1]),
                        tensor);
  }

  void replace(const std::string& origin, const StoredTensor& tensor) {
    std::unique_ptr<Tensor>& old = *find(origin);
    check_shape(tensor, old->role == Role::vector ? std::vector<i64>{old->cols} : std::vector<i64>{old->rows, old->cols});
    old = float_tensor(old->name, old->role, old->rows, old->cols, tensor);
    old->origin = origin;
  }

  void merge(const std::string& module, const Factors& factors) {
    const StoredTensor& given = factors.a ? *factors.a : *factors.b;
    if (!factors.a || !factors.b) unusable(given.file->path, ": tensor ", given.name, " is without its other half");
    std::unique_ptr<Tensor>& base = *find(module + ".weight");
    const i64 rank = config_.rank_of(factors.rank_of.empty() ? module : factors.rank_of);
    check_shape(*factors.a, {rank, factors.embedding ? base->rows : base->cols});
    check_shape(*factors.b, {factors.embedding ? base->cols : base->rows, rank});
    std::unique_ptr<Tensor> left = floats(*factors.b), right = floats(*factors.a);
    if (factors.embedding) {
      std::unique_ptr<Tensor> ids = std::make_unique<Transposed>(*right);
      right = std::make_unique<Transposed>(*left);
      left = std::move(ids);
    }
    const std::string origin = base->origin;
    base = std::make_unique<Merged>(std::move(base), std::move(left), std::move(right), config_.scale_of(module));
    base->origin = origin;
  }

  Model* model_;
  const PeftConfig::Ends ends_;
  const PeftConfig config_;
  const StoredTensors stored_;
  std::map<std::string, Factors> factors_;               // of each module
  std::map<std::string, const StoredTensor*> saved_;     // copies of modules' own, by the model's names
  std::map<std::string, const StoredTensor*> replaced_;  // what stands for the model's own
  std::set<std::string> left_out_;
};

}  // namespace

void merge_adapter(const std::string& folder, Model* model) {
  Adapter(folder, model).merge();
}

}  // namespace edgellm::convert
