#include "convert/output/plan.h"

#include <assert.h>

#include <algorithm>
#include <map>
#include <string>

#include "convert/output/encode.h"
#include "convert/source/ternary.h"

namespace edgellm::convert {
namespace {

bool is_float(Format format) {
  return format == Format::F32 || format == Format::F16;
}

// The embedding once more, as the head of a tied model.
class SharedHead : public Tensor {
 public:
  explicit SharedHead(const Tensor& embedding)
      : Tensor("head", Role::head, embedding.rows, embedding.cols), embedding_(embedding) {}
  void values(i64 row, i64 count, f32* out) const override { embedding_.values(row, count, out); }
  std::optional<Ternary> ternary() const override { return embedding_.ternary(); }
  void codes(i64 row, i64 count, i8* out, f32* scales) const override { embedding_.codes(row, count, out, scales); }
  std::optional<Format> native() const override { return embedding_.native(); }
  void i4(i64 row, i64 count, i8* codes, u16* scales) const override { embedding_.i4(row, count, codes, scales); }

 private:
  const Tensor& embedding_;  // lies in a target before this one
};

struct Choice {
  std::optional<Format> asked;  // none: t2 if ternary, else the tensor's native format, else `otherwise`
  Format otherwise;
  bool master;                 // float values that are not ternary are master weights of ternary ones
  bool plain;                  // but not where another format is asked for
  bool token;                  // ternary weights see int8 activations of one scale a token
  Format sparse = Format::I8;  // that may be taken instead
};

struct Settled {
  std::unique_ptr<Tensor> tensor;
  Format format;
  bool forced_ternary = false;
  bool master = false;
};

// The tensor as ternary if it is to be stored so, or else as it is, with the format to store it in.
Settled settle(std::unique_ptr<Tensor> tensor, const Choice& choice) {
  bool want_ternary = !choice.asked || *choice.asked == Format::T2 || *choice.asked == Format::T5;
  bool forced = false, master = false;
  if (choice.asked && !want_ternary && (!choice.master || choice.plain)) return {std::move(tensor), *choice.asked};
  if (!tensor->ternary()) {
    if (std::optional<Ternary> ternary = recognise(*tensor)) {
      tensor = recognised(std::move(tensor), *ternary);
    } else if (choice.master) {
      tensor = from_master(std::move(tensor));
      master = true;
    } else if (want_ternary && choice.asked) {
      tensor = nearest_ternary(std::move(tensor));
      forced = true;
    }
  }
  if (!want_ternary) return {std::move(tensor), *choice.asked, false, master};
  if (!tensor->ternary()) {
    Format format = tensor->native().value_or(choice.otherwise);
    return {std::move(tensor), format};
  }
  if (tensor->ternary()->per == Ternary::Per::group) return {std::move(tensor), Format::T2_GROUP, forced};
  return {std::move(tensor), choice.token && choice.asked == Format::T5 ? Format::T5 : Format::T2, false, master};
}

// More than half of the first rows are zeros: worth counting the bytes.
bool many_zeros(const Tensor& tensor) {
  const i64 rows = min<i64>(PANEL, tensor.rows);
  std::vector<f32> values(static_cast<size_t>(rows * tensor.cols));
  tensor.values(0, rows, values.data());
  return std::count(values.begin(), values.end(), 0.0f) * 2 > rows * tensor.cols;
}

// How the tensor would be stored in a sparse format.
TensorSpec sparse_spec(const Tensor& tensor, Format format, TensorSpec spec) {
  spec.format = format;
  spec.places = sparse_places(tensor, format);
  spec.scale = Scale::row;
  spec.activations = Quantization::token;
  return spec;
}

struct Planned {
  Target target;                     // dense
  std::optional<TensorSpec> sparse;  // in its place
};

Planned plan_matrix(std::unique_ptr<Tensor> tensor, const Choice& choice) {
  auto [settled, format, forced_ternary, master] = settle(std::move(tensor), choice);
  TensorSpec spec{settled->name, {static_cast<u32>(settled->rows), static_cast<u32>(settled->cols)}, format};
  if (!is_float(format)) spec.activations = Quantization::group32;
  if (format == Format::I8) spec.scale = Scale::row;
  bool ternary = format == Format::T2 || format == Format::T5;
  if (ternary) spec.scale = settled->ternary()->per == Ternary::Per::tensor ? Scale::tensor : Scale::row;
  // An int8 embedding or head was made here, not trained with coarse activations.
  bool trained = ternary || (format == Format::I8 && settled->role == Role::matrix);
  if (choice.token && trained) spec.activations = Quantization::token;
  bool may_be_sparse = choice.sparse != Format::I8 && (format == Format::I8 || (format == Format::I4 && !choice.asked));
  std::optional<TensorSpec> sparse;
  if (may_be_sparse && many_zeros(*settled)) sparse = sparse_spec(*settled, choice.sparse, spec);
  assert(served(spec.format, spec.scale, spec.activations));
  return {{std::move(settled), std::move(spec), forced_ternary, master}, std::move(sparse)};
}

std::string arch_of(const Model& model) {
  for (const auto& [key, value] : model.metadata) {
    if (key == "arch") return std::get<std::string>(value);
  }
  return {};
}

// A name for the input of a matrix, the same for those that share it: they must quantise it alike (docs/FILE.md).
std::string input_of(const std::string& arch, const std::string& name) {
  if (arch != "transformer" && arch != "retnet") return name;
  const size_t dot = name.rfind('.') + 1;
  const std::string part = name.substr(dot);
  if (part == "q" || part == "k" || part == "v" || (arch == "retnet" && part == "g")) return name.substr(0, dot) + "q";
  return part == "gate" || part == "up" ? name.substr(0, dot) + "gate" : name;
}

// A matrix becomes sparse where that takes less. Where it would then quantise its input differently, those that share the input become
// sparse together, if that takes less in all.
void choose_sparse(const std::string& arch, std::vector<Planned>* all) {
  struct Bytes {
    u64 dense = 0, sparse = 0;
    bool possible = true;
  };
  std::map<std::string, Bytes> inputs;
  for (const Planned& planned : *all) {
    Bytes& bytes = inputs[input_of(arch, planned.target.spec.name)];
    bytes.dense += data_bytes(planned.target.spec);
    bytes.sparse += planned.sparse ? data_bytes(*planned.sparse) : 0;
    bytes.possible &= planned.sparse.has_value();
  }
  for (Planned& planned : *all) {
    TensorSpec& spec = planned.target.spec;
    if (!planned.sparse) continue;
    const bool alone = planned.sparse->activations == spec.activations;
    const Bytes together = inputs[input_of(arch, spec.name)];
    const bool smaller =
        alone ? data_bytes(*planned.sparse) < data_bytes(spec) : together.possible && together.sparse < together.dense;
    if (smaller) spec = std::move(*planned.sparse);
  }
}

}  // namespace

std::vector<Target> plan(Model model, const Formats& formats) {
  bool floats = formats.weights && is_float(*formats.weights);
  const Format outer = floats ? *formats.weights : Format::I8;
  auto forced = [&](std::optional<Format> asked) { return asked || !floats ? asked : formats.weights; };
  const Choice matrix{formats.weights, Format::I4, model.bitnet, model.plain_floats, model.bitnet, formats.sparse};
  const Choice float_matrix{formats.weights, Format::I4, false, false, false, formats.sparse};
  const Choice narrow{forced(std::nullopt), outer, false, false, false, formats.sparse};
  const Choice embedding{forced(formats.embed), outer, false, false, model.bitnet};
  const Choice head{forced(formats.head), outer, false, false, model.bitnet, formats.sparse};

  std::vector<Planned> all;
  all.reserve(model.tensors.size() + 1);
  const Tensor* shared = nullptr;
  bool has_head = std::any_of(model.tensors.begin(), model.tensors.end(),
                              [](const std::unique_ptr<Tensor>& tensor) { return tensor->role == Role::head; });
  for (std::unique_ptr<Tensor>& tensor : model.tensors) {
    switch (tensor->role) {
      case Role::vector: {
        TensorSpec spec{tensor->name, {static_cast<u32>(tensor->cols)}};
        all.push_back({{std::move(tensor), std::move(spec)}, std::nullopt});
        break;
      }
      case Role::matrix:
        all.push_back(model.floats.contains(tensor->name) ? plan_matrix(std::move(tensor), float_matrix)
                                                          : plan_matrix(std::move(tensor), matrix));
        break;
      case Role::narrow:
        all.push_back(plan_matrix(std::move(tensor), narrow));
        break;
      case Role::embedding:
        all.push_back(plan_matrix(std::move(tensor), embedding));
        shared = all.back().target.tensor.get();
        break;
      case Role::head:
        all.push_back(plan_matrix(std::move(tensor), head));
        break;
    }
  }
  if (!has_head && shared && embedding.asked != head.asked) {
    Planned own = plan_matrix(std::make_unique<SharedHead>(*shared), head);
    const TensorSpec* embed = nullptr;
    for (const Planned& planned : all) {
      if (planned.target.tensor.get() == shared) embed = &planned.target.spec;
    }
    const bool sparse = own.sparse && data_bytes(*own.sparse) < data_bytes(own.target.spec);
    if (sparse || own.target.spec.format != embed->format) all.push_back(std::move(own));
  }
  choose_sparse(arch_of(model), &all);
  std::vector<Target> targets;
  for (Planned& planned : all)
    targets.push_back(std::move(planned.target));
  return targets;
}

}  // namespace edgellm::convert
