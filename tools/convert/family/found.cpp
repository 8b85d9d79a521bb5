#include "convert/family/found.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "convert/base/meant.h"
#include "convert/family/open.h"
#include "convert/source/listing.h"
#include "convert/source/weights.h"

namespace edgellm::convert {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> without_slashes(std::vector<std::string> names) {
  for (std::string& name : names)
    if (name.ends_with('/')) name.pop_back();
  return names;
}

bool has_name_of_file(const std::string& path) {
  const char* const ends[] = {".gguf", ".safetensors", ".bin", ".pth", ".pt", ".json", ".tm2", ".srnn"};
  return std::any_of(std::begin(ends), std::end(ends), [&](const char* end) { return path.ends_with(end); });
}

// "owner/model", as models are called on the hub.
bool is_hub_name(const std::string& path) {
  auto is_part = [](const std::string& name) {
    const auto known = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
    return !name.empty() && name[0] != '.' && std::all_of(name.begin(), name.end(), known);
  };
  const size_t slash = path.find('/');
  return slash != std::string::npos && is_part(path.substr(0, slash)) && is_part(path.substr(slash + 1)) &&
         !has_name_of_file(path);
}

void require_there(const std::string& path) {
  std::error_code none;
  if (path.starts_with(SYNTHETIC) || fs::symlink_status(path, none).type() != fs::file_type::not_found) return;
  const std::string absent = path + ": No such file or directory", folder = folder_of(path), name = file_name(path);
  if (path.find("://") != std::string::npos) {
    io_error(path, " is an address: download the file or folder, and give its name");
  }
  if (is_hub_name(path) && !is_folder(folder)) {
    io_error(absent, "; if it is a model on huggingface.co: `hf download ", path, " --local-dir ", name,
             "`, then edgellm-convert ", name);
  }
  io_error(absent, did_you_mean(name, without_slashes(names_in(folder))));
}

// The folder that a path lies in, with a name of its own.
std::string named_folder_of(const std::string& path) {
  std::error_code none;
  const std::string folder = folder_of(path), real = fs::canonical(folder, none).string();
  return file_name(folder).find_first_not_of('.') == std::string::npos && !none ? real : folder;
}

// A file that a folder with config.json is read by.
bool stands_for_folder(const std::string& path) {
  const std::string folder = folder_of(path), name = file_name(path);
  return file_exists(folder + "/config.json") && (name == "config.json" || name == weights_in(folder));
}

}  // namespace

Source find_source(const std::string& path, std::vector<std::string>* notes) {
  require_there(path);
  Source source(path);
  if (source.folder) {
    const bool complete = source.config && !weights_in(path).empty();
    if (complete || (!source.config && is_rwkv(source))) return source;
    const std::vector<std::string> ggufs = gguf_files(path);
    if (ggufs.size() != 1) return source;
    notes->push_back(text("of ", path, " the GGUF file is taken: ", ggufs[0]));
    return Source(path + (path.ends_with('/') ? "" : "/") + ggufs[0]);
  }
  if (source.shape || !stands_for_folder(path) || is_rwkv(source)) return source;
  const std::string folder = named_folder_of(path);
  notes->push_back(text(file_name(path), " is read with the folder that it lies in"));
  return Source(folder);
}

}  // namespace edgellm::convert
