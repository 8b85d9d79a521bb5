// Models of f32 weights with one number changed, so that computing goes wrong.
#pragma once
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "file/layout.h"
#include "files.h"
#include "scripted_model.h"

// Number `index` of a tensor in the file at `path`.
inline void spoil(const std::string& path, const std::string& tensor, edgellm::u64 index, float value) {
  using namespace edgellm;
  std::vector<u8> bytes = read_array<u8>(path);
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  for (u32 i = 0; i < header.tensor_count; i++) {
    TensorEntry entry;
    std::memcpy(&entry, bytes.data() + header.tensor_offset + i * sizeof entry, sizeof entry);
    if (tensor == entry.name) std::memcpy(bytes.data() + entry.offset + 4 * index, &value, 4);
  }
  write_file(path, {bytes.begin(), bytes.end()});
}

// One whose numbers are not finite, so that computing fails.
inline std::string write_spoiled_model() {
  using namespace edgellm;
  const std::string path = temporary_path("spoiled.tm2");
  write_model({.vocab = Script::VOCAB,
               .matrices = Format::F32,
               .scale = Scale::none,
               .activations = Quantization::none,
               .embedding = Format::F32,
               .tied = false,
               .tokenizer = script_tokenizer(Script("a"))},
              path);
  spoil(path, "norm", 0, std::numeric_limits<float>::quiet_NaN());
  return path;
}
