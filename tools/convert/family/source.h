// Every kind of source, once: recognised by its name, by its first bytes or by the files in its folder.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

// Opens whatever `source` is. Throws when it is of no kind known, damaged, or says what it cannot mean.
Model open_source(const std::string& source);

// One pair of functions a kind. The first says whether `path`, which begins with `head` (nothing for a folder), is its own.
bool is_rwkv(const std::string& path, Bytes head);
Model open_rwkv(const std::string& path);
bool is_mamba(const std::string& path, Bytes head);
Model open_mamba(const std::string& path);
bool is_retnet(const std::string& path, Bytes head);
Model open_retnet(const std::string& path);
bool is_hf(const std::string& path, Bytes head);
Model open_hf(const std::string& path);
bool is_gguf(const std::string& path, Bytes head);
Model open_gguf(const std::string& path);
bool is_tm2(const std::string& path, Bytes head);
Model open_tm2(const std::string& path);
bool is_tmac(const std::string& path, Bytes head);
Model open_tmac(const std::string& path);
bool is_llama2c(const std::string& path, Bytes head);
Model open_llama2c(const std::string& path);

// "synthetic:SHAPE" is no path.
bool is_synthetic(const std::string& source);
Model open_synthetic(const std::string& source);

}  // namespace edgellm::convert
