// --verify: what was written is what was meant.
#pragma once
#include "encode.h"
#include "plan.h"

namespace edgellm::convert {

struct Written {
  Target target;
  Loss loss;  // as `encode` found it
};

// Opens the file at `path` as the runtime does, compares its checksums, and unpacks every weight with the runtime's reference
// kernels: its distance from the source must be to the bit the loss that was found when it was packed. Throws when not.
void verify(const std::string& path, const std::vector<Written>& written);

}  // namespace edgellm::convert
