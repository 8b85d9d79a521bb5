// What lies in a folder.
#pragma once
#include <string>
#include <vector>

namespace edgellm::convert {

// By name; folders end in a slash.
std::vector<std::string> names_in(const std::string& folder);

// The GGUF files of a folder, each once: of one in parts the first.
std::vector<std::string> gguf_files(const std::string& folder);

}  // namespace edgellm::convert
