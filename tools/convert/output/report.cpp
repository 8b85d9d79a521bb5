#include "convert/output/report.h"

#include <algorithm>
#include <cstdio>
#include <ostream>
#include <utility>

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

std::string count_text(u64 weights) {
  const f64 count = static_cast<f64>(weights);
  if (weights >= 1000000000) return formatted("%.2f billion", count / 1e9);
  return weights >= 1000000 ? formatted("%.2f million", count / 1e6) : std::to_string(weights);
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
  Line one{role_name(tensor.role),
           format_text(spec),
           1,
           static_cast<u64>(tensor.rows * tensor.cols),
           data_bytes(spec) + 4 * scale_values(spec),
           loss};
  auto known = std::find_if(lines_.begin(), lines_.end(),
                            [&](const Line& line) { return line.what == one.what && line.format == one.format; });
  if (known == lines_.end()) {
    lines_.push_back(one);
  } else {
    known->add(one);
  }
  if (tensor.role == Role::vector) return;
  one.what = tensor.name;
  matrices_.push_back(one);
}

void Report::Line::add(const Line& line) {
  tensors += line.tensors;
  weights += line.weights;
  bytes += line.bytes;
  loss.error += line.loss.error;
  loss.signal += line.loss.signal;
  loss.zeros += line.loss.zeros;
}

std::string Report::text(const Line& line) {
  const f64 count = static_cast<f64>(line.weights);
  std::string error = line.loss.error > 0 ? formatted("%.3g %%", 100 * line.loss.relative()) : "exact";
  return formatted("%-22s %-26s %7llu %12llu %8.2f %7.2f %12s  %s\n", line.what.c_str(), line.format.c_str(),
                   static_cast<unsigned long long>(line.tensors), static_cast<unsigned long long>(line.weights),
                   8 * static_cast<f64>(line.bytes) / count, 100 * static_cast<f64>(line.loss.zeros) / count,
                   megabytes(line.bytes).c_str(), error.c_str());
}

Report::Line Report::all() const {
  Line all{"all", ""};
  for (const Line& line : lines_)
    all.add(line);
  return all;
}

std::string Report::formats_text() const {
  const Line sum = all();
  std::string out = formatted("%.2f bits each", 8 * static_cast<f64>(sum.bytes) / static_cast<f64>(sum.weights));
  const char* separator = ": ";
  for (Role role : {Role::matrix, Role::narrow, Role::embedding, Role::head}) {
    std::string formats;
    for (const Line& line : lines_) {
      const std::string format = " " + line.format.substr(0, line.format.find(','));
      if (line.what == role_name(role) && (formats + " ").find(format + " ") == std::string::npos) formats += format;
    }
    if (!formats.empty()) out += std::exchange(separator, ", ") + (role_name(role) + formats);
  }
  return out;
}

std::string Report::loss_text() const {
  const Line* worst = nullptr;
  for (const Line& line : matrices_) {
    if (line.loss.error > 0 && (!worst || line.loss.relative() > worst->loss.relative())) worst = &line;
  }
  if (!worst) return "none: the weights are exact";
  return formatted("rms error %.2g %% in all, at most %.2g %% in a matrix (", 100 * all().loss.relative(),
                   100 * worst->loss.relative()) +
         worst->what + ")";
}

void Report::print_table(std::ostream& out, const std::string& path, u64 file_bytes, u64 tokenizer_bytes) const {
  out << formatted("%-22s %-26s %7s %12s %8s %7s %12s  %s\n", "", "format, activations", "tensors", "weights", "bits",
                   "zeros %", "size", "rms error");
  for (const Line& line : matrices_)
    out << text(line);
  out << "\n";
  for (const Line& line : lines_)
    out << text(line);
  out << text(all());
  out << formatted("%-22s %71s\n", "tokenizer", tokenizer_bytes ? megabytes(tokenizer_bytes).c_str() : "none");
  out << formatted("%-22s %71s  ", "file", megabytes(file_bytes).c_str()) << path << "\n";
}

}  // namespace edgellm::convert
