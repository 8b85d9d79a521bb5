// Every kind of source, once: recognised by its first bytes, its name or the files in its folder.
#pragma once
#include "model.h"

namespace edgellm::convert {

// Opens whatever `path` is. Throws when it is of no kind known, damaged, or says what it cannot mean.
Model open_source(const std::string& path);

// One function a kind. Each says whether `path`, whose first bytes are `head` (none for a folder), is its own.
bool is_hf(const std::string& path, Bytes head);
Model open_hf(const std::string& path);

bool is_llama2c(const std::string& path, Bytes head);
Model open_llama2c(const std::string& path);

}  // namespace edgellm::convert
