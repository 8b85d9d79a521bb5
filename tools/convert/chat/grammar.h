// What a model may answer (docs/FILE.md, "Grammar"), from a JSON file: a list of states, each a list of [id, next state].
#pragma once
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

// The value of the metadata key `grammar`. Throws an Error that names the file and what is wrong in it.
std::vector<u32> read_grammar(const std::string& path, i64 vocab);

}  // namespace edgellm::convert
