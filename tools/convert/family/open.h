// Every kind of source, once: recognised by its name, by its first bytes or by the files in its folder.
#pragma once
#include "convert/base/model.h"
#include "convert/source/source.h"

namespace edgellm::convert {

// Opens whatever `source` is. Throws when it is of no kind known, damaged, or says what it cannot mean.
Model open_source(const Source& source);

// What --help says of a kind.
struct SourceKind {
  const char *name, *place, *text;
  std::vector<std::string> families;  // names, classes or shapes, at the end of the text; none: it says all
};
std::vector<SourceKind> source_kinds();

// Of each kind, and the list of its families where it has several or they have names of their own.
bool is_rwkv(const Source& source);
Model open_rwkv(const Source& source);
std::vector<std::string> rwkv_families();
bool is_mamba(const Source& source);
Model open_mamba(const Source& source);
std::vector<std::string> mamba_families();
bool is_retnet(const Source& source);
Model open_retnet(const Source& source);
std::vector<std::string> retnet_families();
bool is_hf(const Source& source);
Model open_hf(const Source& source);
std::vector<std::string> hf_families();
bool is_gguf(const Source& source);
Model open_gguf(const Source& source);
std::vector<std::string> gguf_families();
bool is_tm2(const Source& source);
Model open_tm2(const Source& source);
bool is_tmac(const Source& source);
Model open_tmac(const Source& source);
bool is_llama2c(const Source& source);
Model open_llama2c(const Source& source);
bool is_synthetic(const Source& source);
Model open_synthetic(const Source& source);
std::vector<std::string> synthetic_shapes();

}  // namespace edgellm::convert
