// What a user names to be converted: a file, a folder, or "synthetic:SHAPE", which is neither.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "convert/base/json.h"
#include "convert/base/mapped_file.h"

namespace edgellm::convert {

struct Source {
  // Opens a file, and of a folder reads config.json. Throws where that cannot be done.
  explicit Source(const std::string& name);

  std::string path;
  std::optional<std::string> shape;  // of random weights
  bool folder = false;
  std::shared_ptr<const Json> config;  // of a folder that has one
  std::string config_path;
  File file;  // null: there is none

  Bytes head() const { return file ? file->bytes() : Bytes{}; }

  // "model_type" of config.json; empty: it has none.
  std::string model_type() const;
};

}  // namespace edgellm::convert
