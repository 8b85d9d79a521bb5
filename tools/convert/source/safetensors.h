// Safetensors files (https://github.com/huggingface/safetensors, "Format"): u64 header length, a JSON header with dtype,
// shape and byte range of every tensor, then the data.
#pragma once
#include "convert/source/stored.h"

namespace edgellm::convert {

StoredTensors read_safetensors(const std::string& path);

}  // namespace edgellm::convert
