#include "source.h"

namespace edgellm::convert {
namespace {

struct Kind {
  const char* name;
  bool (*recognises)(const std::string& path, Bytes head);
  Model (*open)(const std::string& path);
};

// Files without a signature come last.
constexpr Kind KINDS[] = {
    {"Hugging Face folder", is_hf, open_hf},
    {"llama2.c checkpoint", is_llama2c, open_llama2c},
};

}  // namespace

Model open_source(const std::string& path) {
  File file = is_folder(path) ? nullptr : MappedFile::open(path);
  Bytes head = file ? file->bytes() : Bytes{};
  for (const Kind& kind : KINDS) {
    if (!kind.recognises(path, head)) continue;
    Model model = kind.open(path);
    model.kind = kind.name;
    return model;
  }
  std::string known;
  for (const Kind& kind : KINDS)
    known += text(known.empty() ? "" : ", ", kind.name);
  unusable(path, ": not a source of a known kind (", known, ")");
}

}  // namespace edgellm::convert
