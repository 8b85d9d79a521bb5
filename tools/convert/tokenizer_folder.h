// The files that lie beside a tokenizer and say what its own file leaves open: which special tokens there are, what they are for,
// and which ids end a text. Where two of them disagree, the one counts that counts for transformers 5
// (tokenization_utils_base.py, _from_pretrained).
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

// "bos_token_id" and "eos_token_id" of config.json and generation_config.json.
struct GenerationIds {
  std::optional<u32> bos;
  std::vector<u32> eos;  // of both files, in their order
};

// An id that a model with `vocab` ids does not have is refused by name.
GenerationIds read_generation_ids(const std::filesystem::path& folder, i64 vocab);

struct DeclaredToken {
  std::string content;
  i64 id = -1;    // -1: the vocabulary's own, or the next one that is free
  u16 flags = 0;  // AddedFlag
  bool normalized = false;
};

struct TokenizerFolder {
  std::vector<DeclaredToken> tokens;  // by ascending id, then those that are only named as bos_token, pad_token and so on
  std::string source;                 // the file that declares those with ids
  std::string bos_token, eos_token;   // empty: none
  std::optional<bool> add_bos;
  bool is_llama = false;      // transformers' class LlamaTokenizer, which has rules of its own:
  bool legacy = true;         // a space is put before every stretch of text, not only before the first
  bool prefix = true;         // ... if at all
  std::string chat_template;  // Jinja source; empty: none
};

// Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json and chat_template.jinja, as many as are
// there.
TokenizerFolder read_tokenizer_folder(const std::filesystem::path& folder);

}  // namespace edgellm::convert
