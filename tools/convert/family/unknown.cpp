#include "convert/family/unknown.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "convert/source/listing.h"
#include "convert/source/weights.h"

namespace edgellm::convert {
namespace {

constexpr size_t MOST_NAMES = 8;  // that an error lists

// "a, b and 3 more"
std::string some_of(const std::vector<std::string>& names) {
  if (names.size() <= MOST_NAMES) return list_text(names);
  return text(list_text({names.begin(), names.begin() + MOST_NAMES}), " and ", names.size() - MOST_NAMES, " more");
}

bool has_config(const std::string& folder) {
  return file_exists(folder + "/config.json");
}

[[noreturn]] void refuse_folder(const std::string& given) {
  const std::string path = given.size() > 1 && given.ends_with('/') ? given.substr(0, given.size() - 1) : given;
  std::error_code problem;
  const bool is_empty = std::filesystem::is_empty(path, problem);
  if (problem) io_error(path, ": ", problem.message());
  const std::vector<std::string> names = names_in(path), ggufs = gguf_files(path);
  auto has = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
  if (is_empty) unusable(path, " is an empty folder, expected one with config.json, or a file");
  if (has("adapter_config.json")) {
    unusable(path, " is a folder with an adapter: edgellm-convert MODEL NEW.tm2 --lora ", shell_word(path),
             " merges it into the model that it was trained for");
  }
  if (ggufs.size() > 1) {
    unusable(path, " is a folder with ", ggufs.size(), " GGUF files, name one of them: ", some_of(ggufs));
  }
  const std::string there = text("; there ", names.size() == 1 ? "is " : "are ", some_of(names));
  if (has("config.json")) {
    unusable(path, " is a folder without its weights, ", list_text(WEIGHTS, " or "),
             ", or an index of their parts: download them too", there);
  }
  const std::string inner = has("snapshots/") ? path + "/snapshots" : path;  // as the hub's cache has them
  for (const std::string& part : names_in(inner)) {
    const std::string folder = inner + "/" + part.substr(0, part.size() - 1);
    if (part.ends_with('/') && has_config(folder)) {
      unusable(path, " is a folder without config.json, but there is one inside: edgellm-convert ", shell_word(folder));
    }
  }
  unusable(path, " is a folder without config.json, which says what its files mean: download that too, or name a file",
           there);
}

// A file among those of a model.
[[noreturn]] void refuse_part(const std::string& path, const std::string& what) {
  const std::string folder = folder_of(path);
  if (has_config(folder)) unusable(path, what, ": edgellm-convert ", shell_word(folder), " takes all of it");
  unusable(path, what, ": give the folder that it belongs to, with config.json");
}

[[noreturn]] void refuse_file(const Source& source, const std::vector<std::string>& kinds) {
  const std::string& path = source.path;
  const Foreign found = source.file ? identify(source.head()) : Foreign();
  const std::string what = found.what ? text(" is ", found.what) : "";
  switch (found.way) {
    case WayOut::open:
      unusable(path, " is a model file already: edgellm ", shell_word(path), " runs it");
    case WayOut::folder:
      refuse_part(path, what + ", a part of a model at most");
    case WayOut::unpack:
      unusable(path, what, ": ", found.advice, " ", shell_word(path), " unpacks it");
    case WayOut::advice:
      if (std::string_view(found.what) != "a text") unusable(path, what, ": ", found.advice);
      break;
    case WayOut::repack:
    case WayOut::convert:
    case WayOut::pull:
    case WayOut::download:
    case WayOut::unknown:
      break;
  }
  if (has_config(folder_of(path))) refuse_part(path, what + ": no source by itself");
  unusable(path, what, ": not a source of a known kind (", list_text(kinds), ")");
}

}  // namespace

void refuse_source(const Source& source, const std::vector<std::string>& kinds) {
  if (source.folder) refuse_folder(source.path);
  refuse_file(source, kinds);
}

}  // namespace edgellm::convert
