// Lays out and writes a model file (docs/FILE.md) front to back. Everything but the values is known before the first byte
// is written; the file has a temporary name until it is whole, and does not exist after an error.
#pragma once
#include <string>
#include <vector>

#include "base/checksum.h"
#include "convert/base/model.h"
#include "convert/output/destination.h"
#include "file/layout.h"
#include "kernels.h"

namespace edgellm::convert {

struct TensorSpec {
  std::string name;
  std::vector<u32> shape;  // (n), (rows, cols) or (count, rows, cols)
  Format format = Format::F32;
  Scale scale = Scale::none;
  Quantization activations = Quantization::none;
  std::vector<u32> places = {};  // of a sparse matrix: of its panels and the end of the last, as the data have them
};

// Bytes of the panels of all the matrices, or of the vector; scales not counted.
u64 data_bytes(const TensorSpec& spec);
// f32 scales beside them.
u64 scale_values(const TensorSpec& spec);

class FileWriter {
 public:
  // `path` as `destination_of` gives it. Nothing is created before `begin`.
  explicit FileWriter(const std::string& path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  // Creates the temporary file beside `path` and writes everything up to the tensor data, which follow in the order of `specs`. A
  // sparse matrix makes it a sparse file.
  void begin(const Metadata& metadata, const std::vector<TensorSpec>& specs, const std::vector<u8>& tokenizer);

  // The data of the next tensor, in pieces of any size; then its scales, all at once, if it has any.
  void data(const void* bytes, u64 size);
  void scales(const f32* values, u64 count);

  // Completes the header and makes the file durable; returns its size. Then it can be read under its temporary name.
  u64 finish();
  const std::string& partial_path() const { return partial_.path; }

  // Gives the finished file its name, in place of what has it.
  void publish();

 private:
  void put(const void* bytes, u64 size);  // at the end
  void pad_to(u64 offset);
  void flush();
  void next_tensor();

  std::string path_;
  Partial partial_;
  std::vector<u8> buffer_;
  u64 position_ = 0;   // of the next byte
  Checksum checksum_;  // of what follows the tensor table
  bool summing_ = false;
  FileHeader header_{};
  std::vector<TensorEntry> entries_;  // in the order of the data
  std::vector<u64> scale_counts_;     // of each entry
  size_t current_ = 0;                // entry being written
  u64 written_ = 0;                   // bytes of its data so far
};

}  // namespace edgellm::convert
