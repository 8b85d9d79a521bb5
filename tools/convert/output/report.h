// What the user sees: progress while it works, and what became of the tensors, in a few words or in a table.
#pragma once
#include <iosfwd>
#include <string>
#include <vector>

#include "convert/output/encode.h"

namespace edgellm::convert {

// A bar on stderr, for terminals only.
class Progress {
 public:
  Progress(u64 total_bytes, bool shown) : total_(total_bytes), shown_(shown) {}
  ~Progress();
  void advance(u64 bytes, const std::string& tensor);

 private:
  u64 total_, done_ = 0;
  i32 drawn_ = -1;  // percent last drawn
  bool shown_;
};

// Every matrix, and the tensors of one format and use added up.
class Report {
 public:
  void add(const Tensor& tensor, const TensorSpec& spec, const Loss& loss);
  void print_table(std::ostream& out, const std::string& path, u64 file_bytes, u64 tokenizer_bytes) const;

  u64 weights() const { return all().weights; }
  std::string formats_text() const;  // "4.62 bits each: matrices i4, embedding i8"
  std::string loss_text() const;     // "rms error 7.9 % in all, at most 8.9 % in a matrix (layers.2.down)"

 private:
  struct Line {
    std::string what, format;
    u64 tensors = 0, weights = 0, bytes = 0;
    Loss loss{};
    void add(const Line& line);
  };
  static std::string text(const Line& line);
  Line all() const;
  std::vector<Line> matrices_;  // one by one
  std::vector<Line> lines_;     // added up
};

std::string megabytes(u64 bytes);
std::string count_text(u64 weights);  // "3.28 million"

}  // namespace edgellm::convert
