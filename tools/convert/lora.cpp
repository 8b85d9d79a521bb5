// LoRA (Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, section 4.1): a matrix W (rows, cols)
// becomes W + scale * B A with A (rank, cols) and B (rows, rank); scale = alpha / rank, or alpha / sqrt(rank) when stabilised
// (arXiv:2312.03732). Of an embedding, whose weight is (ids, dim), it is the transpose of B A: A (rank, ids), B (dim, rank).
//
// PEFT (huggingface/peft, utils/save_and_load.py) saves adapter_config.json and adapter_model.safetensors or .bin, whose names are
// those of the model with "base_model.model." before them and ".lora_A", ".lora_B", ".lora_embedding_A" or ".lora_embedding_B"
// behind the module. Any other tensor stands in place of the model's own ("modules_to_save").
#include "lora.h"

#include <algorithm>
#include <cmath>

#include "fields.h"
#include "weights.h"

namespace edgellm::convert {
namespace {

constexpr i64 MAX_RANK_OF_ADAPTER = 1 << 16;

// The factors of one matrix as they are stored.
struct Factors {
  const StoredTensor *a = nullptr, *b = nullptr;
  bool embedding = false;
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
      : Tensor(base->name, base->role, base->rows, base->cols),
        base_(std::move(base)),
        left_(std::move(left)),
        right_(std::move(right)),
        scale_(scale) {}

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

bool is_set(const Json* value) {
  if (!value) return false;
  if (value->boolean()) return *value->boolean();
  if (value->array()) return !value->array()->empty();
  if (value->object()) return !value->object()->empty();
  return true;
}

class Adapter {
 public:
  Adapter(const std::string& folder, Model* model)
      : json_(read_json(folder + "/adapter_config.json")),
        config_(json_, folder + "/adapter_config.json"),
        stored_(read_weights(folder, {"adapter_model.safetensors", "adapter_model.bin"})),
        model_(model) {}

  void merge() {
    refuse_other_kinds();
    std::map<std::string, Factors> modules;
    for (const auto& [name, tensor] : stored_)
      sort_in(name, tensor, &modules);
    for (const auto& [module, factors] : modules)
      merge(module, factors);
  }

 private:
  template <class... Args>
  [[noreturn]] void refuse(const Args&... args) const {
    unusable(config_.where(), ": ", args...);
  }

  void refuse_other_kinds() const {
    if (config_.string("peft_type") != "LORA") refuse("peft_type \"", config_.string("peft_type"), "\", expected \"LORA\"");
    const std::string bias = config_.string("bias");
    if (!bias.empty() && bias != "none") refuse("bias \"", bias, "\" is not supported (none)");
    for (const char* key :
         {"use_dora", "lora_bias", "use_qalora", "layer_replication", "trainable_token_indices", "target_parameters",
          "alora_invocation_tokens", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config", "megatron_config"}) {
      if (is_set(config_.find(key))) refuse("\"", key, "\" is not supported");
    }
    // These begin with other weights than the model's.
    const Json* initial = config_.find("init_lora_weights");  // a text or a truth value
    const std::string start = initial && initial->string() ? *initial->string() : "";
    for (const char* kind : {"pissa", "olora", "corda", "loftq", "lora_ga"}) {
      if (start.starts_with(kind)) {
        refuse("init_lora_weights \"", start, "\" changed the weights beside the adapter: save it as a plain LoRA");
      }
    }
  }

  // Factors go to `modules`; a tensor that stands for one of the model is put in its place.
  void sort_in(const std::string& name, const StoredTensor& tensor, std::map<std::string, Factors>* modules) {
    const std::string prefix = "base_model.model.";
    if (!name.starts_with(prefix)) unusable(tensor.file->path, ": tensor ", name, " does not begin with ", prefix);
    std::string rest = name.substr(prefix.size());
    for (const char* wrapper : {".modules_to_save", ".base_layer"}) {
      size_t at = rest.find(wrapper);
      if (at != std::string::npos) rest.erase(at, std::string(wrapper).size());
    }
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
      Factors& factors = (*modules)[rest.substr(0, rest.size() - std::string(known.end).size())];
      factors.*known.factor = &tensor;
      factors.embedding = known.embedding;
      return;
    }
    if (rest.find(".lora_") != std::string::npos) {
      unusable(tensor.file->path, ": tensor ", name, " is of a kind of adapter that cannot be merged (plain LoRA can)");
    }
    replace(rest, tensor);
  }

  std::unique_ptr<Tensor>& find(const std::string& origin, const StoredTensor& tensor) {
    for (std::unique_ptr<Tensor>& candidate : model_->tensors) {
      if (candidate->origin == origin) return candidate;
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
    std::unique_ptr<Tensor>& old = find(origin, tensor);
    check_shape(tensor, old->role == Role::vector ? std::vector<i64>{old->cols} : std::vector<i64>{old->rows, old->cols});
    old = float_tensor(old->name, old->role, old->rows, old->cols, tensor);
    old->origin = origin;
  }

  void merge(const std::string& module, const Factors& factors) {
    const StoredTensor& given = factors.a ? *factors.a : *factors.b;
    if (!factors.a || !factors.b) unusable(given.file->path, ": tensor ", given.name, " is without its other half");
    std::unique_ptr<Tensor>& base = find(module + ".weight", given);
    if (base->role == Role::vector) unusable(given.file->path, ": tensor ", given.name, ": ", module, " is no matrix");
    const i64 rank = rank_of(module);
    check_shape(*factors.a, {rank, factors.embedding ? base->rows : base->cols});
    check_shape(*factors.b, {factors.embedding ? base->cols : base->rows, rank});
    std::unique_ptr<Tensor> left = floats(*factors.b), right = floats(*factors.a);
    if (factors.embedding) {
      std::unique_ptr<Tensor> ids = std::make_unique<Transposed>(*right);
      right = std::make_unique<Transposed>(*left);
      left = std::move(ids);
    }
    const std::string origin = base->origin;
    base = std::make_unique<Merged>(std::move(base), std::move(left), std::move(right), scale_of(module, rank));
    base->origin = origin;
  }

  i64 rank_of(const std::string& module) const {
    f64 rank = setting("rank_pattern", "r", module);
    if (!(rank >= 1 && rank <= static_cast<f64>(MAX_RANK_OF_ADAPTER)) || rank != std::floor(rank)) {
      refuse("the rank of ", module, " is ", rank, ", expected 1 to ", MAX_RANK_OF_ADAPTER);
    }
    return static_cast<i64>(rank);
  }

  f32 scale_of(const std::string& module, i64 rank) const {
    f64 alpha = setting("alpha_pattern", "lora_alpha", module), size = static_cast<f64>(rank);
    return static_cast<f32>(alpha / (config_.flag("use_rslora").value_or(false) ? std::sqrt(size) : size));
  }

  // What `patterns` says of the module or of its last parts, else what `key` says of all.
  f64 setting(const char* patterns, const char* key, const std::string& module) const {
    if (config_.object(patterns)) {
      for (const auto& [pattern, value] : *config_.find(patterns)->object()) {
        if (!value.number()) refuse(patterns, ": \"", pattern, "\" is not a number");
        if (pattern.find_first_of("^$*+?()[]{}|\\") != std::string::npos) {
          refuse(patterns, ": \"", pattern, "\" is a regular expression, expected the end of a module's name");
        }
        if (module == pattern || module.ends_with("." + pattern)) return *value.number();
      }
    }
    std::optional<f64> value = config_.number(key);
    if (!value) refuse("\"", key, "\" is missing");
    return *value;
  }

  const Json json_;
  const Fields config_;
  const StoredTensors stored_;
  Model* model_;
};

}  // namespace

void merge_adapter(const std::string& folder, Model* model) {
  Adapter(folder, model).merge();
}

}  // namespace edgellm::convert
