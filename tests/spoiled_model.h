// A model whose numbers are not finite, so that computing fails.
#pragma once
#include <cstring>
#include <string>
#include <vector>

#include "file/layout.h"
#include "files.h"
#include "scripted_model.h"

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
  std::vector<u8> bytes = read_array<u8>(path);
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  for (u32 i = 0; i < header.tensor_count; i++) {
    TensorEntry entry;
    std::memcpy(&entry, bytes.data() + header.tensor_offset + i * sizeof entry, sizeof entry);
    if (std::string(entry.name) == "norm") std::memset(bytes.data() + entry.offset, 0xff, 4);
  }
  write_file(path, {bytes.begin(), bytes.end()});
  return path;
}
