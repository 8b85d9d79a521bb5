// What a conversion ends with: six lines on what the file is, in the words of `edgellm info`, and the command to type next.
#pragma once
#include <string>

#include "convert/output/report.h"

namespace edgellm::convert {

// Of the whole file at `path`, which is called `destination` when it is done.
std::string summary_of(const std::string& path, const std::string& destination, const Report& report);

}  // namespace edgellm::convert
