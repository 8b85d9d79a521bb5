// --lora: a low-rank adapter becomes part of the weights it was trained beside.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

// Merges the adapter that PEFT saved in `folder` into the tensors of `model`, which are then computed row by row: W + scale * B A in
// f32. Throws when a tensor of the adapter finds no place, or the adapter is of a kind that is not a sum.
void merge_adapter(const std::string& folder, Model* model);

}  // namespace edgellm::convert
