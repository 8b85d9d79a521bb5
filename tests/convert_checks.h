// What the tests of the converter share: a conversion read back by the second reader, a failure, and checks of values.
#pragma once
#include <optional>
#include <sstream>

#include "check.h"
#include "convert/base/error.h"
#include "convert/convert.h"
#include "convert_sources.h"
#include "model_reader.h"

namespace convert_checks {

using namespace sources;
using edgellm::Code;
using edgellm::Format;
using edgellm::convert::Error;
using edgellm::convert::Options;
using model_reader::ModelFile;

enum { F32, F16, I8, I4, T2, T2_GROUP, T5 = 8 };
enum { NONE, TENSOR, ROW };            // scales
enum { UNQUANTIZED, TOKEN, GROUP32 };  // activations

// `said` gets what the converter reported.
inline ModelFile converted(const Folder& folder, const std::string& source, Options options = {},
                           std::string* said = nullptr) {
  options.source = source;
  options.destination = folder / "out.tm2";
  options.verify = true;
  std::ostringstream report;
  edgellm::convert::convert(options, report, false);
  CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
  if (said) *said = report.str();
  return model_reader::read_model(options.destination);
}

// All metadata but what names the version and the source.
inline std::string metadata_of(const ModelFile& file) {
  std::ostringstream out;
  out.precision(9);
  for (const auto& [key, value] : file.texts)
    if (key != "source") out << key << "=" << value << " ";
  for (const auto& [key, value] : file.numbers)
    out << key << "=" << value << " ";
  for (const auto& [key, value] : file.reals)
    out << key << "=" << value << " ";
  for (const auto& [key, values] : file.lists) {
    out << key << "=";
    for (uint32_t value : values)
      out << value << ",";
    out << " ";
  }
  return out.str();
}

inline Options with_weights(Format format) {
  Options options;
  options.formats.weights = format;
  return options;
}

// The error that a conversion ends with, if it does.
inline std::optional<Error> refusal_of(const Options& options) {
  std::ostringstream report;
  try {
    edgellm::convert::convert(options, report, false);
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// The text of the failure, which must have this code; nothing may be left behind.
inline std::string failure(const Folder& folder, const std::string& source, Code code = Code::bad_model,
                           Options options = {}) {
  options.source = source;
  options.destination = folder / "out.tm2";
  const std::optional<Error> error = refusal_of(options);
  CHECK_EQ(error ? "refused" : "converted", std::string("refused"));
  if (!error) return {};
  CHECK_EQ(static_cast<int>(error->code), static_cast<int>(code));
  CHECK(!std::filesystem::exists(folder / "out.tm2"));
  CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
  return error->what();
}

// Root mean square of the difference over that of the original.
inline double relative_error(const Values& stored, const Values& original) {
  double error = 0, signal = 0;
  if (stored.size() != original.size()) return INFINITY;
  for (size_t i = 0; i < stored.size(); i++) {
    error += std::pow(static_cast<double>(stored[i]) - static_cast<double>(original[i]), 2);
    signal += std::pow(static_cast<double>(original[i]), 2);
  }
  return std::sqrt(error / signal);
}

inline void check_exact(const ModelFile& file, const Model& model, const std::string& skipped = "") {
  for (const auto& [name, tensor] : model.tensors) {
    if (name == skipped) continue;
    CHECK(file.tensors.contains(name));
    if (!file.tensors.contains(name)) continue;
    const model_reader::Tensor& stored = file.tensors.at(name);
    CHECK(stored.shape == shape_of(tensor));
    CHECK(stored.values == tensor.values);
  }
  CHECK_EQ(file.tensors.size(), model.tensors.size() + 1);  // rope.inv_freq
}

inline void check_form(const ModelFile& file, const std::string& name, int format, int scale, int activations) {
  const model_reader::Tensor& t = file.tensors.at(name);
  CHECK_EQ(t.format, format);
  CHECK_EQ(t.scale, scale);
  CHECK_EQ(t.activations, activations);
}

inline void check_shape(const ModelFile& file, const Shape& s) {
  const std::pair<const char*, int> sizes[] = {{"layers", s.layers}, {"dim", s.dim},           {"ffn_dim", s.ffn},
                                               {"heads", s.heads},   {"kv_heads", s.kv_heads}, {"head_dim", s.head_dim},
                                               {"vocab", s.vocab},   {"context", s.context}};
  for (const auto& [key, value] : sizes)
    CHECK_EQ(file.numbers.at(key), static_cast<uint32_t>(value));
  CHECK_EQ(file.texts.at("arch"), "transformer");
}

}  // namespace convert_checks
