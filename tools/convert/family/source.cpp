#include "convert/family/source.h"

namespace edgellm::convert {
namespace {

struct Kind {
  const char* name;
  bool (*recognises)(const std::string& path, Bytes head);
  Model (*open)(const std::string& path);
};

// Files without a signature come last.
constexpr Kind KINDS[] = {
    {"RWKV", is_rwkv, open_rwkv},           {"Mamba", is_mamba, open_mamba},
    {"RetNet", is_retnet, open_retnet},     {"Hugging Face folder", is_hf, open_hf},
    {"GGUF", is_gguf, open_gguf},           {"TM2 version 1", is_tm2, open_tm2},
    {"TMAC version 2", is_tmac, open_tmac}, {"llama2.c checkpoint", is_llama2c, open_llama2c},
};

}  // namespace

Model open_source(const std::string& source) {
  if (is_synthetic(source)) return open_synthetic(source);
  File file = is_folder(source) ? nullptr : MappedFile::open(source);
  Bytes head = file ? file->bytes() : Bytes{};
  for (const Kind& kind : KINDS) {
    if (!kind.recognises(source, head)) continue;
    Model model = kind.open(source);
    model.kind = kind.name;
    return model;
  }
  if (source.ends_with(".safetensors") || source.ends_with("config.json")) {
    unusable(source, ": expected the folder that holds it, with config.json");
  }
  std::string known;
  for (const Kind& kind : KINDS)
    known += text(known.empty() ? "" : ", ", kind.name);
  unusable(source, ": not a source of a known kind (", known, ")");
}

}  // namespace edgellm::convert
