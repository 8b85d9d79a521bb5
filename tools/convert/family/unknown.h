// What is no source, in words that say what it is and what to type.
#pragma once
#include "convert/source/source.h"

namespace edgellm::convert {

// `source` is of none of the `kinds`, or a folder without weights.
[[noreturn]] void refuse_source(const Source& source, const std::vector<std::string>& kinds);

}  // namespace edgellm::convert
