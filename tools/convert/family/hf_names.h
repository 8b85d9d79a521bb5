// Tensor names of Hugging Face models of the transformer family.
#pragma once
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

struct Rename {
  std::string theirs, ours;
};

// All names a model of so many layers can have, in the order in which a forward pass reads them.
std::vector<Rename> hf_names(i64 layers);

}  // namespace edgellm::convert
