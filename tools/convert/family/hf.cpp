// Hugging Face folders: config.json says what the tensors of the weight files mean.
#include <cmath>

#include "convert/family/hf_config.h"
#include "convert/family/open.h"
#include "convert/family/transformer.h"
#include "convert/source/packed.h"
#include "convert/source/ternary.h"
#include "convert/source/weights.h"
#include "convert/tokenizer/folder.h"

namespace edgellm::convert {
namespace {

class Loader {
 public:
  Loader(const HfConfig& config, StoredTensors stored) : config_(config), stored_(std::move(stored)) {}

  Model load(const std::string& source) {
    ModelTable table = transformer_family(config_.shape, source);
    table.name = config_.architecture;
    Model model = take_parts(
        table, {Naming::published, source, {"rotary_emb.inv_freq"}, BY_CONFIG}, &stored_,
        [this](const Part& part, const std::string& name, const StoredTensor& tensor) { return open(part, name, tensor); });
    for (const Part& part : table.parts) {
      for (const std::string& name : part.names(Naming::published)) {
        if (config_.is_float(name)) model.floats.insert(part.ours);
      }
    }
    return model;
  }

 private:
  std::unique_ptr<Tensor> open(const Part& part, const std::string& name, const StoredTensor& tensor) {
    check_shape(tensor, name, part);
    if (part.role == Role::matrix) return matrix(part, name, tensor);
    return float_tensor(part.ours, part.role, part.rows, part.cols, tensor);
  }

  static void check_shape(const StoredTensor& tensor, const std::string& name, const Part& part) {
    const bool packed = tensor.dtype == Dtype::U8;
    std::vector<u64> wanted;
    if (part.role != Role::vector) wanted.push_back(static_cast<u64>(packed ? div_up<i64>(part.rows, 4) : part.rows));
    wanted.push_back(static_cast<u64>(part.cols));
    if (tensor.shape != wanted) {
      unusable(tensor.file->path, ": tensor ", name, " (", tensor.dtype_name, ") has the shape ", shape_text(tensor.shape),
               ", config.json wants ", shape_text(wanted));
    }
    if (packed && part.role != Role::matrix) {
      unusable(tensor.file->path, ": tensor ", name, " is packed, which only the matrices of the layers can be");
    }
  }

  // The scale may divide or multiply the weights; nothing if there is none.
  std::optional<f32> scale_beside(const std::string& name) {
    auto found = stored_.find(name + "_scale");
    if (found == stored_.end()) return std::nullopt;
    const StoredTensor& stored = found->second;
    if (stored.count() != 1) {
      unusable(stored.file->path, ": tensor ", found->first, " has ", stored.count(),
               " values, expected one for the matrix");
    }
    f32 scale = 0;
    float_tensor(found->first, Role::vector, 1, 1, stored)->values(0, 1, &scale);
    if (!(scale > 0) || !std::isfinite(scale)) unusable(stored.file->path, ": tensor ", found->first, " is ", scale);
    stored_.erase(found);
    return scale;
  }

  std::unique_ptr<Tensor> matrix(const Part& part, const std::string& name, const StoredTensor& tensor) {
    const std::optional<f32> beside = scale_beside(name);
    const f32 scale = beside ? (config_.scale_divides ? 1 / *beside : *beside) : 1;
    f32 factor = config_.shape.norm == Norm::unit ? 1 / static_cast<f32>(part.cols) : 1;
    if (tensor.dtype == Dtype::U8) {
      check_packed(name, tensor, beside.has_value());
      return packed_ternary(part.ours, part.role, part.rows, part.cols, tensor, scale * factor);
    }
    auto floats = [&](f32 by) { return float_tensor(part.ours, part.role, part.rows, part.cols, tensor, by); };
    const bool ternary = config_.quantized && !config_.online && !config_.is_float(name);
    if (ternary && !beside && !recognise(*floats(1))) {
      unusable(tensor.file->path, ": tensor ", name,
               " is not ternary, which config.json says; of master weights it would say ",
               "linear_class \"autobitlinear\" and quantization_mode \"online\"");
    }
    if (beside && must_be_scaled(*floats(1), name, *beside)) factor *= scale;
    return floats(factor);
  }

  void check_packed(const std::string& name, const StoredTensor& tensor, bool scaled) const {
    if (!scaled) unusable(tensor.file->path, ": packed tensor ", name, " has no ", name, "_scale");
    if (config_.is_float(name)) {
      unusable(tensor.file->path, ": tensor ", name, " is packed, modules_to_not_convert says that it is not");
    }
    if (config_.online) {
      unusable(tensor.file->path, ": tensor ", name, " is packed, quantization_mode \"online\" wants master weights");
    }
  }

  // Float weights beside a scale are codes that it must still multiply, or have it in them already.
  static bool must_be_scaled(const Tensor& floats, const std::string& name, f32 beside) {
    std::optional<Ternary> ternary = recognise(floats);
    if (!ternary || ternary->per != Ternary::Per::tensor) {
      unusable("tensor ", name, " has a weight_scale, but its values are not scale * {-1, 0, 1}");
    }
    auto near = [&](f32 value) { return std::fabs(ternary->scale - value) <= 0.01f * value; };  // the scale may be bf16
    if (ternary->scale == 0 || near(beside) || near(1 / beside)) return false;
    if (!near(1)) {
      unusable("tensor ", name, ": its values are ", ternary->scale, " * {-1, 0, 1}, its weight_scale is ", beside,
               ": expected equal, or values of -1, 0 and 1");
    }
    return true;
  }

  const HfConfig& config_;
  StoredTensors stored_;  // those not taken yet
};

}  // namespace

bool is_hf(const Source& source) {
  return source.config != nullptr;
}

Model open_hf(const Source& source) {
  StoredTensors stored = read_weights(source.path);
  HfConfig config = read_hf_config(source);
  tie_head(&stored, "model.embed_tokens.weight", "lm_head.weight", config.tied, source.path, &config.notes);
  Model model = Loader(config, std::move(stored)).load(source.path);
  model.bitnet = config.bitnet;
  model.plain_floats = !config.quantized;
  model.notes.insert(model.notes.begin(), config.notes.begin(), config.notes.end());
  model.tokenizer = find_tokenizer(source.path);
  return model;
}

}  // namespace edgellm::convert
