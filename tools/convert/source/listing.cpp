#include "convert/source/listing.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>

namespace edgellm::convert {
namespace {

// "model-00001-of-00003.gguf" without the number of the part; another name as it is.
std::string without_part(const std::string& name) {
  const std::string form = "-#####-of-#####.gguf";
  if (name.size() <= form.size()) return name;
  const size_t at = name.size() - form.size();
  for (size_t i = 0; i < form.size(); i++) {
    const char c = name[at + i];
    if (form[i] == '#' ? !std::isdigit(static_cast<unsigned char>(c)) : c != form[i]) return name;
  }
  return name.substr(0, at) + name.substr(at + 6);
}

}  // namespace

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder, ignored))
    names.push_back(entry.path().filename().string() + (entry.is_directory(ignored) ? "/" : ""));
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> gguf_files(const std::string& folder) {
  std::map<std::string, std::string> found;
  for (const std::string& name : names_in(folder)) {
    if (!name.ends_with(".gguf")) continue;
    found.emplace(without_part(name), name);  // the first by name stays
  }
  std::vector<std::string> names;
  for (const auto& entry : found)
    names.push_back(entry.second);
  return names;
}

}  // namespace edgellm::convert
