// Hugging Face folders: config.json says what the tensors of the weight files mean.
//
// BitNet matrices come as floats (already ternary, or master weights) or packed: uint8 (out / 4, in), where code i (bits
// 2i and 2i + 1) of byte row r, minus 1, is the weight of output row i * out / 4 + r; `weight_scale` divides ("bitlinear")
// or multiplies ("autobitlinear") the product (transformers, integrations/bitnet.py).
#include <algorithm>
#include <cmath>
#include <set>

#include "convert/family/hf_config.h"
#include "convert/family/hf_names.h"
#include "convert/family/source.h"
#include "convert/family/transformer.h"
#include "convert/source/ternary.h"
#include "convert/source/weights.h"
#include "convert/tokenizer/folder.h"

namespace edgellm::convert {
namespace {

class PackedTernary : public Tensor {
 public:
  PackedTernary(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, const StoredTensor& stored,
                f32 scale)
      : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), stored_(stored), scale_(scale) {}

  void values(i64 row, i64 count, f32* out) const override {
    std::vector<i8> ternary_codes(static_cast<size_t>(count * cols));
    codes(row, count, ternary_codes.data(), nullptr);
    for (size_t i = 0; i < ternary_codes.size(); i++)
      out[i] = scale_ * static_cast<f32>(ternary_codes[i]);
  }

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::tensor, scale_}; }

  void codes(i64 row, i64 count, i8* out, f32*) const override {
    const i64 quarter = div_up<i64>(rows, 4);
    stored_.file->read(static_cast<u64>(count * cols));
    for (i64 r = row; r < row + count; r++) {
      const u8* bytes = stored_.data.data + r % quarter * cols;
      const i64 shift = r / quarter * 2;
      for (i64 c = 0; c < cols; c++) {
        i32 code = bytes[c] >> shift & 3;
        if (code == 3) {
          unusable(stored_.file->path, ": ", name, ": row ", r, ", column ", c,
                   " has the packed code 3, which is no weight");
        }
        *out++ = static_cast<i8>(code - 1);
      }
    }
  }

 private:
  StoredTensor stored_;
  f32 scale_;
};

class Loader {
 public:
  Loader(const HfConfig& config, StoredTensors stored) : config_(config), stored_(std::move(stored)) {}

  Tensors load(const std::string& source, std::vector<std::string>* notes) {
    for (const Rename& name : hf_names(config_.shape.layers))
      take(name.theirs, name.ours);
    refuse_the_rest();
    need_optional(source);
    if (!unexpected_.empty()) {
      notes->push_back(text("biases that ", config_.architecture, " does not have with this config.json are left out, ",
                            "as transformers leaves them out: ", unexpected_.front(),
                            unexpected_.size() > 1 ? text(" and ", unexpected_.size() - 1, " more") : ""));
    }
    return std::move(tensors_);
  }

 private:
  // Tensors that some classes or configurations have and others do not.
  static bool is_optional(const std::string& part) {
    return part.ends_with("_bias") || part == "q_norm" || part == "k_norm" || part.ends_with("sub_norm");
  }

  // The name without its layer.
  static std::string part_of(const std::string& ours) { return ours.substr(ours.rfind('.') + 1); }

  void take(const std::string& theirs, const std::string& ours) {
    auto found = stored_.find(theirs);
    if (found == stored_.end()) return;
    StoredTensor tensor = std::move(found->second);
    stored_.erase(found);
    const std::string part = part_of(ours);
    if (is_optional(part) && !config_.optional.contains(part)) {
      if (!part.ends_with("_bias"))
        unusable(tensor.file->path, ": tensor ", theirs, " has no place in ", config_.architecture);
      unexpected_.push_back(theirs);
      return;
    }
    Expected expected = expected_of(config_.shape, ours);
    check_shape(tensor, theirs, expected);
    if (*expected.role == Role::matrix) {
      tensors_.push_back(matrix(tensor, theirs, ours, expected));
    } else {
      tensors_.push_back(float_tensor(ours, *expected.role, expected.rows, expected.cols, tensor));
    }
  }

  void check_shape(const StoredTensor& tensor, const std::string& theirs, const Expected& expected) {
    i64 rows = tensor.dtype == Dtype::U8 ? div_up<i64>(expected.rows, 4) : expected.rows;
    std::vector<u64> wanted;
    if (*expected.role != Role::vector) wanted.push_back(static_cast<u64>(rows));
    wanted.push_back(static_cast<u64>(expected.cols));
    if (tensor.shape != wanted) {
      unusable(tensor.file->path, ": tensor ", theirs, " (", tensor.dtype_name, ") has the shape ", shape_text(tensor.shape),
               ", config.json wants ", shape_text(wanted));
    }
    if (tensor.dtype == Dtype::U8 && *expected.role != Role::matrix) {
      unusable(tensor.file->path, ": tensor ", theirs, " is packed, which only the matrices of the layers can be");
    }
  }

  static std::string shape_text(const std::vector<u64>& shape) {
    std::string out;
    for (u64 dimension : shape)
      out += text(out.empty() ? "" : " x ", dimension);
    return out.empty() ? "()" : out;
  }

  std::optional<f32> scale_beside(const std::string& theirs) {
    auto found = stored_.find(theirs + "_scale");
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

  std::unique_ptr<Tensor> matrix(const StoredTensor& tensor, const std::string& theirs, const std::string& ours,
                                 const Expected& e) {
    std::optional<f32> beside = scale_beside(theirs);
    f32 scale = beside ? (config_.scale_divides ? 1 / *beside : *beside) : 1;
    f32 factor = config_.shape.unit_norms ? 1 / static_cast<f32>(e.cols) : 1;
    if (tensor.dtype == Dtype::U8) {
      if (!beside) unusable(tensor.file->path, ": packed tensor ", theirs, " has no ", theirs, "_scale");
      if (config_.is_float(theirs)) {
        unusable(tensor.file->path, ": tensor ", theirs, " is packed, modules_to_not_convert says that it is not");
      }
      if (config_.online) {
        unusable(tensor.file->path, ": tensor ", theirs, " is packed, quantization_mode \"online\" wants master weights");
      }
      return std::make_unique<PackedTernary>(ours, *e.role, e.rows, e.cols, tensor, scale * factor);
    }
    auto floats = [&](f32 by) { return float_tensor(ours, *e.role, e.rows, e.cols, tensor, by); };
    const bool ternary = config_.quantized && !config_.online && !config_.is_float(theirs);
    if (ternary && !beside && !recognise(*floats(1))) {
      unusable(tensor.file->path, ": tensor ", theirs,
               " is not ternary, which config.json says; of master weights it would say ",
               "linear_class \"autobitlinear\" and quantization_mode \"online\"");
    }
    if (beside && must_be_scaled(*floats(1), theirs, *beside)) factor *= scale;
    return floats(factor);
  }

  // Float weights beside a scale are codes that it must still multiply, or have it in them already.
  static bool must_be_scaled(const Tensor& floats, const std::string& theirs, f32 beside) {
    std::optional<Ternary> ternary = recognise(floats);
    if (!ternary || ternary->per != Ternary::Per::tensor) {
      unusable("tensor ", theirs, " has a weight_scale, but its values are not scale * {-1, 0, 1}");
    }
    auto near = [&](f32 value) { return std::fabs(ternary->scale - value) <= 0.01f * value; };  // the scale may be bf16
    if (ternary->scale == 0 || near(beside) || near(1 / beside)) return false;
    if (!near(1)) {
      unusable("tensor ", theirs, ": its values are ", ternary->scale, " * {-1, 0, 1}, its weight_scale is ", beside,
               ": expected equal, or values of -1, 0 and 1");
    }
    return true;
  }

  // What transformers would make up.
  void need_optional(const std::string& source) const {
    std::set<std::string> there;
    for (const std::unique_ptr<Tensor>& tensor : tensors_)
      there.insert(tensor->name);
    for (const Rename& name : hf_names(config_.shape.layers)) {
      if (!config_.optional.contains(part_of(name.ours)) || there.contains(name.ours)) continue;
      unusable(source, ": there is no tensor ", name.theirs, ", which ", config_.architecture, " has with this config.json");
    }
  }

  void refuse_the_rest() {
    for (const auto& [name, tensor] : stored_) {
      if (!name.ends_with("rotary_emb.inv_freq"))
        unusable(tensor.file->path, ": tensor ", name, " has no place in this family or is beyond its layers");
    }
  }

  const HfConfig& config_;
  StoredTensors stored_;  // those not taken yet
  Tensors tensors_;
  std::vector<std::string> unexpected_;  // names of biases
};

}  // namespace

bool is_hf(const std::string& path, Bytes) {
  return is_folder(path) && file_exists(path + "/config.json");
}

Model open_hf(const std::string& path) {
  StoredTensors stored = read_weights(path);
  HfConfig config = read_hf_config(path);
  Model model;
  model.bitnet = config.bitnet;
  model.plain_floats = !config.quantized;
  model.notes = config.notes;
  for (const Rename& name : hf_names(config.shape.layers)) {
    if (config.is_float(name.theirs)) model.floats.insert(name.ours);
  }
  model.tokenizer = find_tokenizer(path);
  tie_head(&stored, "model.embed_tokens.weight", "lm_head.weight", config.tied, path, &model.notes);
  model.tensors = Loader(config, std::move(stored)).load(path, &model.notes);
  complete(config.shape, path, &model);
  return model;
}

}  // namespace edgellm::convert
