// What somebody may have meant by a name that is none.
#pragma once
#include <string>
#include <vector>

#include "base/nearest.h"

namespace edgellm::convert {

// ": did you mean NAME?" with the nearest of `names`; empty: none is near.
inline std::string did_you_mean(const std::string& typed, const std::vector<std::string>& names) {
  auto view = [](const std::string& name) { return Text(name.data(), static_cast<i64>(name.size())); };
  Nearest nearest(view(typed));
  for (const std::string& name : names)
    nearest.offer(view(name));
  if (!nearest.found()) return "";
  return ": did you mean " + std::string(nearest.name().data, static_cast<size_t>(nearest.name().size)) + "?";
}

}  // namespace edgellm::convert
