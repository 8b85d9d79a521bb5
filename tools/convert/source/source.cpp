#include "convert/source/source.h"

namespace edgellm::convert {

constexpr std::string_view SYNTHETIC = "synthetic:";

Source::Source(const std::string& name) : path(name) {
  if (name.starts_with(SYNTHETIC)) {
    shape = name.substr(SYNTHETIC.size());
    return;
  }
  folder = is_folder(path);
  if (!folder) {
    file = MappedFile::open(path);
    return;
  }
  config_path = path + "/config.json";
  if (file_exists(config_path)) config = std::make_shared<const Json>(read_json(config_path));
}

std::string Source::model_type() const {
  const Json* type = config ? config->find("model_type") : nullptr;
  return type && type->string() ? *type->string() : "";
}

}  // namespace edgellm::convert
