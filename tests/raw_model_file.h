// A small model file made by hand from docs/FILE.md, with every field open to a change; its checksums are then made to fit, by a
// second implementation of them. One tensor for each way of storing one.
//
//      0 header | 64 metadata (128 bytes) | 192 table (6 entries) | 960 tokenizer (100 bytes) | 1088 data ... | 5632 end
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "file/layout.h"
#include "file/model_file.h"
#include "model_reader.h"

// A copy at a 64-byte boundary, ending where the bytes end, so that a read past them is seen by the sanitizer.
struct Aligned {
  explicit Aligned(const std::vector<edgellm::u8>& bytes) : storage(bytes.size() + 64) {
    edgellm::u8* start = storage.data();
    while (reinterpret_cast<uintptr_t>(start) % 64)
      start++;
    if (!bytes.empty()) std::memcpy(start, bytes.data(), bytes.size());
    span = {start, static_cast<edgellm::i64>(bytes.size())};
  }
  Aligned(const Aligned&) = delete;
  std::vector<edgellm::u8> storage;
  edgellm::Span<edgellm::u8> span;
};

namespace raw {

using namespace edgellm;

inline u64 round_up(u64 value, u64 unit) {
  return (value + unit - 1) / unit * unit;
}

struct Metadata {
  std::vector<u8> bytes;

  void add(u32 type, const std::string& key, const void* value, size_t value_bytes) {
    const u64 at = bytes.size(), value_at = at + round_up(8 + key.size(), 8);
    bytes.resize(value_at + round_up(value_bytes, 8));
    bytes[at] = static_cast<u8>(type);
    bytes[at + 1] = static_cast<u8>(key.size());
    const u32 size = static_cast<u32>(value_bytes);
    std::memcpy(bytes.data() + at + 4, &size, 4);
    std::memcpy(bytes.data() + at + 8, key.data(), key.size());
    if (value_bytes) std::memcpy(bytes.data() + value_at, value, value_bytes);
  }
  void number(const std::string& key, u32 value) { add(1, key, &value, 4); }
  void real(const std::string& key, f32 value) { add(2, key, &value, 4); }
  void text(const std::string& key, const std::string& value) { add(3, key, value.data(), value.size()); }
  void numbers(const std::string& key, const std::vector<u32>& values) { add(4, key, values.data(), 4 * values.size()); }
  void reals(const std::string& key, const std::vector<f32>& values) { add(5, key, values.data(), 4 * values.size()); }
};

inline TensorEntry entry(const std::string& name, i32 format, i32 scale, i32 activations, const std::vector<u32>& shape,
                         u64 offset, u64 bytes, u64 scale_offset = 0, u64 stride = 0) {
  TensorEntry e = {};
  std::memcpy(e.name, name.data(), name.size());
  e.format = static_cast<u8>(format);
  e.scale = static_cast<u8>(scale);
  e.activations = static_cast<u8>(activations);
  e.rank = static_cast<u8>(shape.size());
  for (size_t i = 0; i < shape.size(); i++)
    e.shape[i] = shape[i];
  e.offset = offset;
  e.bytes = bytes;
  e.scale_offset = scale_offset;
  e.stride = stride;
  return e;
}

struct File {
  FileHeader header = {};
  Metadata metadata;                 // at 64
  std::vector<TensorEntry> entries;  // behind it, at a multiple of 64
  std::vector<u8> rest;              // tokenizer and data

  TensorEntry& operator[](const char* name) {
    for (TensorEntry& e : entries) {
      if (std::strcmp(e.name, name) == 0) return e;
    }
    throw std::runtime_error(name);
  }
  // A number of the data, by its place in the file.
  void set_u32(u64 at, u32 value) {
    const u64 begin = table_at() + 128 * entries.size();
    std::memcpy(rest.data() + (at - begin), &value, 4);
  }
  u64 table_at() const { return 64 + round_up(metadata.bytes.size(), 64); }

  // The header as it should be for these parts.
  void lay_out(u64 tokenizer_bytes) {
    const u64 table = table_at(), end = table + 128 * entries.size();
    header = {};
    std::memcpy(&header, "TM2\2", 4);
    header.header_bytes = 64;
    header.file_bytes = end + rest.size();
    header.metadata_offset = 64;
    header.metadata_bytes = static_cast<u32>(metadata.bytes.size());
    header.tensor_offset = static_cast<u32>(table);
    header.tensor_count = static_cast<u32>(entries.size());
    header.tokenizer_offset = tokenizer_bytes ? end : 0;
    header.tokenizer_bytes = tokenizer_bytes;
  }

  // With checksums that fit what the header says, where that lies in the file.
  std::vector<u8> bytes() const {
    const u64 table = table_at();
    std::vector<u8> file(table);
    std::copy(metadata.bytes.begin(), metadata.bytes.end(), file.begin() + 64);
    const u8* first = reinterpret_cast<const u8*>(entries.data());
    file.insert(file.end(), first, first + 128 * entries.size());
    file.insert(file.end(), rest.begin(), rest.end());
    FileHeader h = header;
    const u64 table_bytes = u64{h.tensor_count} * 128, table_end = h.tensor_offset + table_bytes;
    std::memcpy(file.data(), &h, sizeof h);
    if (u64{h.metadata_offset} + h.metadata_bytes <= file.size() && table_end <= file.size()) {
      auto part = [&](u64 at, u64 n) {
        return std::vector<u8>(file.begin() + static_cast<i64>(at), file.begin() + static_cast<i64>(at + n));
      };
      std::vector<u8> summed = part(0, 48);
      for (const std::vector<u8>& more : {part(h.metadata_offset, h.metadata_bytes), part(h.tensor_offset, table_bytes)})
        summed.insert(summed.end(), more.begin(), more.end());
      h.table_checksum = model_reader::xxh64(summed);
      h.data_checksum = model_reader::xxh64(part(table_end, file.size() - table_end));
      std::memcpy(file.data(), &h, sizeof h);
    }
    return file;
  }
};

// Panels of the matrices: 17 rows are 2, 40 columns of t2 2 units of 128 bytes, 32 of i8 one of 512, 5 of f32 2 of 256. The sparse
// matrix has a table of 64 bytes, 2 panels of 2 units of empty masks, and the 576 bytes behind them.
inline File small_file() {
  File file;
  file.metadata.number("layers", 3);
  file.metadata.real("eps", 0.5f);
  file.metadata.text("gate", "silu");
  file.metadata.numbers("window", {1, 2, 3});
  file.metadata.reals("factors", {1, 2});
  file.entries = {entry("cube", 4, 1, 1, {3, 17, 40}, 1088, 2 * 576 + 512, 2752, 576),
                  entry("embed", 2, 2, 2, {5, 32}, 2816, 512, 3328),
                  entry("matrix", 4, 2, 1, {17, 40}, 3392, 512, 3904),
                  entry("plain", 0, 0, 0, {3, 5}, 4032, 512),
                  entry("sparse", 6, 2, 1, {20, 33}, 4544, 64 + 2 * 128 + 576, 5440),
                  entry("vector", 0, 0, 0, {5}, 5568, 20)};
  file.rest.assign(5632 - 960, 0);
  for (size_t i = 0; i < file.rest.size(); i++) {
    const u64 at = 960 + i;
    if (at < 4544 || at >= 5440) file.rest[i] = static_cast<u8>(i * 37 % 120);
  }
  file.set_u32(4544, 1);
  file.set_u32(4548, 3);
  file.set_u32(4552, 5);
  file.lay_out(100);
  return file;
}

inline std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

// A file that is accepted, or one of these metadata alone.
struct Opened {
  Aligned copy;
  ModelFile file;

  explicit Opened(const File& made) : copy(made.bytes()) {
    Status status = file.open(copy.span);
    CHECK_EQ(std::string(status.text()), "");
  }
  explicit Opened(const Metadata& metadata) : Opened(of(metadata)) {}

  static File of(const Metadata& metadata) {
    File file;
    file.metadata = metadata;
    file.lay_out(0);
    return file;
  }
};

}  // namespace raw
