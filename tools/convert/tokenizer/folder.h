// A tokenizer in a folder: which file it is, and the files beside it, which say what its own file leaves open: which special
// tokens there are, what they are for, and which ids end a text. Where two of those disagree, the one counts that counts for
// transformers 5 (tokenization_utils_base.py, _from_pretrained).
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/types.h"
#include "convert/base/json.h"

namespace edgellm::convert {

// The names that a tokenizer's file has, in the order in which they are looked for (docs/CONVERT.md).
constexpr char TOKENIZER_FILES[] = "rwkv_vocab*.txt, tokenizer.json, tokenizer.model, vocab.json or tokenizer.bin";

// The path of the first of them in `folder`, for every family and for --tokenizer; empty: there is none. Of several vocabularies
// of RWKV it is the world's, rwkv_vocab_v20230424.txt, otherwise the first by name.
std::string find_tokenizer(const std::filesystem::path& folder);

// "bos_token_id" and "eos_token_id" of config.json and generation_config.json.
struct GenerationIds {
  std::optional<u32> bos;
  std::vector<u32> eos;  // of both files, in their order
};

// An id that a model with `vocab` ids does not have is refused by name. `config`, here and below, is the folder's config.json where
// that is read already; null: it is read, if it is there.
GenerationIds read_generation_ids(const std::filesystem::path& folder, const Json* config, i64 vocab);

struct DeclaredToken {
  std::string content;
  i64 id = -1;              // -1: that of the vocabulary, or the next one that is free
  u16 flags = 0;            // AddedFlag
  bool normalized = false;  // matched after normalisation
};

struct TokenizerFolder {
  std::vector<DeclaredToken> tokens;  // by ascending id, then those that only a role such as pad_token names
  std::string source;                 // the file that gives the ids
  std::string bos_token, eos_token;   // empty: none
  std::optional<bool> add_bos;        // a text begins with bos_token
  bool is_llama = false;              // the tokenizer is of transformers' class LlamaTokenizer
  bool legacy = true;                 // SentencePiece: every stretch of text gets a space in front, not only the first one
  std::optional<bool> add_prefix_space;  // the class puts a space in front at all
  std::string chat_template;             // Jinja source; empty: none
};

// Reads those that are there of tokenizer_config.json, special_tokens_map.json, added_tokens.json, config.json and
// chat_template.jinja.
TokenizerFolder read_tokenizer_folder(const std::filesystem::path& folder, const Json* config);

}  // namespace edgellm::convert
