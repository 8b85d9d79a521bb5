#include "report.h"

#include <cstdio>
#include <ostream>

namespace edgellm::convert {
namespace {

template <class... Args>
std::string formatted(const char* format, Args... args) {
  char line[256];
  std::snprintf(line, sizeof line, format, args...);
  return line;
}

const char* role_name(Role role) {
  switch (role) {
    case Role::vector:
      return "vectors";
    case Role::matrix:
      return "matrices";
    case Role::narrow:
      return "low rank";
    case Role::embedding:
      return "embedding";
    case Role::head:
      return "head";
  }
  return "";
}

std::string format_text(const TensorSpec& spec) {
  std::string out = format_name(spec.format);
  if (spec.scale == Scale::tensor) out += ", tensor scale";
  if (spec.scale == Scale::row) out += ", row scale";
  if (spec.activations == Quantization::token) out += ", token";
  if (spec.activations == Quantization::group32) out += ", group32";
  return out;
}

}  // namespace

std::string megabytes(u64 bytes) {
  return formatted("%.2f MB", static_cast<f64>(bytes) / 1e6);
}

Progress::~Progress() {
  if (drawn_ >= 0) std::fprintf(stderr, "\r\033[K");
}

void Progress::advance(u64 bytes, const std::string& tensor) {
  done_ += bytes;
  i32 percent = total_ > 0 ? static_cast<i32>(100 * done_ / total_) : 100;
  if (!shown_ || percent == drawn_) return;
  drawn_ = percent;
  std::string bar(static_cast<size_t>(percent / 4), '#');
  std::fprintf(stderr, "\r\033[K[%-25s] %3d %%  %s", bar.c_str(), percent, tensor.c_str());
}

void Report::add(const Tensor& tensor, const TensorSpec& spec, const Loss& loss) {
  std::string what = role_name(tensor.role), format = format_text(spec);
  Line* line = nullptr;
  for (Line& known : lines_) {
    if (known.what == what && known.format == format) line = &known;
  }
  if (!line) {
    lines_.push_back({what, format});
    line = &lines_.back();
  }
  line->tensors++;
  line->weights += static_cast<u64>(tensor.rows * tensor.cols);
  line->bytes += data_bytes(spec) + 4 * scale_values(spec);
  line->loss.error += loss.error;
  line->loss.signal += loss.signal;
}

void Report::print(std::ostream& out, const std::string& path, u64 file_bytes, u64 tokenizer_bytes) const {
  out << formatted("%-10s %-26s %8s %12s %10s %12s  %s\n", "", "format, activations", "tensors", "weights", "bits each",
                   "size", "rms error");
  for (const Line& line : lines_) {
    f64 bits = 8 * static_cast<f64>(line.bytes) / static_cast<f64>(line.weights);
    std::string error = line.loss.error > 0 ? formatted("%.3g %%", 100 * line.loss.relative()) : "exact";
    out << formatted("%-10s %-26s %8llu %12llu %10.2f %12s  %s\n", line.what.c_str(), line.format.c_str(),
                     static_cast<unsigned long long>(line.tensors), static_cast<unsigned long long>(line.weights), bits,
                     megabytes(line.bytes).c_str(), error.c_str());
  }
  out << formatted("%-10s %70s\n", "tokenizer", tokenizer_bytes ? megabytes(tokenizer_bytes).c_str() : "none");
  out << formatted("%-10s %70s  ", "file", megabytes(file_bytes).c_str()) << path << "\n";
}

}  // namespace edgellm::convert
