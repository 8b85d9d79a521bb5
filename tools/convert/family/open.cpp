#include "convert/family/open.h"

#include "convert/family/unknown.h"
#include "convert/source/weights.h"

namespace edgellm::convert {
namespace {

struct Kind {
  const char* name;
  bool (*recognises)(const Source& source);
  Model (*open)(const Source& source);
  const char *place, *text;  // of --help
  std::vector<std::string> (*families)() = nullptr;
};

// Files without a signature come last.
constexpr Kind KINDS[] = {
    {"RWKV", is_rwkv, open_rwkv, "FILE.pth",
     "RWKV as its author names the tensors, FILE.safetensors too, or FOLDER of Hugging Face (RWKV-4 only):", rwkv_families},
    {"Mamba", is_mamba, open_mamba, "FOLDER", "Mamba: config.json of Hugging Face or of its authors:", mamba_families},
    {"RetNet", is_retnet, open_retnet, "FOLDER", "config.json with the model_type retnet:", retnet_families},
    {"Hugging Face folder", is_hf, open_hf, "FOLDER",
     "Hugging Face: config.json with model.safetensors or pytorch_model.bin, or the index of their parts, of the classes",
     hf_families},
    {"GGUF", is_gguf, open_gguf, "FILE.gguf", "GGUF, any quantisation but the IQ types, of the architectures",
     gguf_families},
    {"TM2 version 1", is_tm2, open_tm2, "FILE.tm2.bin", "TM2 version 1"},
    {"TMAC version 2", is_tmac, open_tmac, "FILE.tmac.bin", "TMAC version 2"},
    {"llama2.c checkpoint", is_llama2c, open_llama2c, "FILE.bin", "llama2.c checkpoint"},
    {"random weights", is_synthetic, open_synthetic, "synthetic:SHAPE",
     "seeded random weights, to see how fast a model of that shape would be:", synthetic_shapes},
};

}  // namespace

Model open_source(const Source& source) {
  if (source.folder && source.config && weights_in(source.path).empty()) refuse_source(source, {});
  for (const Kind& kind : KINDS) {
    if (!kind.recognises(source)) continue;
    Model model = kind.open(source);
    model.kind = kind.name;
    model.config = source.config;
    return model;
  }
  std::vector<std::string> known;
  for (const Kind& kind : KINDS) {
    if (kind.open != open_synthetic) known.push_back(kind.name);  // what was given is no shape
  }
  refuse_source(source, known);
}

std::vector<SourceKind> source_kinds() {
  std::vector<SourceKind> kinds;
  for (const Kind& kind : KINDS) {
    kinds.push_back({kind.name, kind.place, kind.text, kind.families ? kind.families() : std::vector<std::string>()});
  }
  return kinds;
}

}  // namespace edgellm::convert
