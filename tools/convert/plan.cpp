#include "plan.h"

#include <assert.h>

#include <algorithm>

#include "encode.h"
#include "ternary.h"

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

// The places of the panels in a sparse format, if they take less than the dense one.
std::optional<std::vector<u32>> smaller_sparse(const Tensor& tensor, Format sparse_format, const TensorSpec& dense) {
  TensorSpec spec = dense;
  spec.format = sparse_format;
  spec.places = sparse_places(tensor, sparse_format);
  if (data_bytes(spec) >= data_bytes(dense)) return std::nullopt;
  return spec.places;
}

Target target(std::unique_ptr<Tensor> tensor, const Choice& choice) {
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
  if (may_be_sparse && many_zeros(*settled)) {
    if (std::optional<std::vector<u32>> places = smaller_sparse(*settled, choice.sparse, spec)) {
      spec.format = choice.sparse;
      spec.places = std::move(*places);
      spec.scale = Scale::row;
      spec.activations = Quantization::token;
    }
  }
  assert(served(spec.format, spec.scale, spec.activations));
  return {std::move(settled), std::move(spec), forced_ternary, master};
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

  std::vector<Target> targets;
  targets.reserve(model.tensors.size() + 1);
  const Tensor* shared = nullptr;
  bool has_head = std::any_of(model.tensors.begin(), model.tensors.end(),
                              [](const std::unique_ptr<Tensor>& tensor) { return tensor->role == Role::head; });
  for (std::unique_ptr<Tensor>& tensor : model.tensors) {
    switch (tensor->role) {
      case Role::vector: {
        TensorSpec spec{tensor->name, {static_cast<u32>(tensor->cols)}};
        targets.push_back({std::move(tensor), std::move(spec)});
        break;
      }
      case Role::matrix:
        targets.push_back(model.floats.contains(tensor->name) ? target(std::move(tensor), float_matrix)
                                                              : target(std::move(tensor), matrix));
        break;
      case Role::narrow:
        targets.push_back(target(std::move(tensor), narrow));
        break;
      case Role::embedding:
        targets.push_back(target(std::move(tensor), embedding));
        shared = targets.back().tensor.get();
        break;
      case Role::head:
        targets.push_back(target(std::move(tensor), head));
        break;
    }
  }
  if (!has_head && shared && embedding.asked != head.asked) {
    Target own = target(std::make_unique<SharedHead>(*shared), head);
    const TensorSpec* embed = nullptr;
    for (const Target& t : targets) {
      if (t.tensor.get() == shared) embed = &t.spec;
    }
    if (own.spec.format != embed->format) targets.push_back(std::move(own));
  }
  return targets;
}

}  // namespace edgellm::convert
