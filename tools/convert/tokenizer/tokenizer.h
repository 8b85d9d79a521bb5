// Tokenizers as others publish them, turned into the tokenizer section of a model file (src/text/section.h).
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

// What the files say beside the vocabulary.
struct TokenizerInfo {
  std::string kind;                  // for people: "tokenizer.json, byte-level BPE"
  i64 ids = 0;                       // in the section
  i64 bos = -1;                      // id that the model wants before a text; -1: none
  i64 eos = -1;                      // id that ends a text; -1: none
  std::vector<u32> stop;             // ids that end generation, ascending
  std::string chat_template;         // Jinja source; empty: none
  std::string bos_token, eos_token;  // their texts, for the template
};

// Reads the tokenizer at `path`, a file or the folder that find_tokenizer finds it in:
//   tokenizer.json    Hugging Face `tokenizers`: BPE, byte-level or as SentencePiece's
//   tokenizer.model   SentencePiece BPE, or the base64 ranks of tiktoken
//   vocab.json        with merges.txt beside it: byte-level BPE
//   tokenizer.bin     llama2.c
//   rwkv_vocab*.txt   RWKV's world vocabulary
//   FILE.gguf         the tokenizer in it; it says all by itself
// the others together with the files beside it (folder.h). `vocab` is the model's number of ids. Throws an Error that
// names the file and what cannot be used; no kind is guessed.
std::vector<u8> build_tokenizer_section(const std::filesystem::path& path, i64 vocab, TokenizerInfo* info);

// The vocabulary in which token i is the byte i; `vocab` >= 256.
std::vector<u8> build_byte_tokenizer_section(i64 vocab);

}  // namespace edgellm::convert
