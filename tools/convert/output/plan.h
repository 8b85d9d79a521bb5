// Chooses the stored form of every tensor.
#pragma once
#include "convert/base/model.h"
#include "convert/output/writer.h"

namespace edgellm::convert {

// Formats asked for; none: the default for the model.
struct Formats {
  std::optional<Format> weights, embed, head;
  Format sparse = Format::I8_MASK;  // of matrices with many zeros, where it is smaller than the dense form; I8: never
};

struct Target {
  std::unique_ptr<Tensor> tensor;
  TensorSpec spec;
  bool forced_ternary = false;  // the nearest ternary weights to ones that never were
  bool master = false;          // ternary weights made of the master weights that they were trained through
};

// Defaults: matrices that are ternary by nature as t2 at their own granularity, others as i4; embedding and head as i8
// unless ternary, or as f32 or f16 if all weights are. A head tied to the embedding becomes a tensor of its own when its
// format is another. Matrices that would be i4 by default, or are to be i8, are stored sparse when that is smaller.
std::vector<Target> plan(Model model, const Formats& formats);

}  // namespace edgellm::convert
