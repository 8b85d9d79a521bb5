// GGUF files, versions 2 and 3 (ggml-org/ggml, docs/gguf.md), little endian:
//   "GGUF", u32 version, u64 tensors, u64 entries
//   entry   string key, u32 type, value; a string is u64 bytes and these; a list is u32 type, u64 count and so many values
//   tensor  string name, u32 rank, rank x u64 sizes, innermost first, u32 type, u64 offset
//   then, aligned to general.alignment (32), the data that the offsets count from
#pragma once
#include <map>

#include "convert/source/gguf_blocks.h"

namespace edgellm::convert {

enum class GgufType : u32 { u8, i8, u16, i16, u32, i32, f32, boolean, string, list, u64, i64, f64 };

struct GgufValue {
  GgufType type;  // of a list: of its elements
  bool list;
  u64 count;   // elements of a list, else 1
  Bytes data;  // as it lies in the file
};

struct GgufTensor {
  std::vector<u64> shape;  // outermost first
  const BlockFormat* format;
  Bytes data;  // exactly the blocks
};

struct Gguf {
  File file;
  std::map<std::string, GgufValue> metadata;
  std::map<std::string, GgufTensor> tensors;

  // The value of a key, nothing when it is not there. Another type is an error that names the key.
  std::optional<i64> integer(const std::string& key) const;
  std::optional<f64> number(const std::string& key) const;
  std::optional<bool> flag(const std::string& key) const;
  std::optional<std::string> string(const std::string& key) const;
  std::optional<std::vector<std::string>> strings(const std::string& key) const;
  std::optional<std::vector<f64>> numbers(const std::string& key) const;
};

bool is_gguf(Bytes head);

// Throws when the file is damaged, or says what it cannot mean: nothing lies outside of it, no two tensors overlap.
Gguf read_gguf(const std::string& path);

}  // namespace edgellm::convert
