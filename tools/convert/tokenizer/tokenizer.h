// Tokenizers as others publish them, turned into the tokenizer section of a model file (src/text/section.h).
#pragma once
#include <filesystem>
#include <vector>

#include "convert/base/json.h"
#include "convert/tokenizer/info.h"

namespace edgellm::convert {

// Reads the tokenizer at `path`, a file or the folder that find_tokenizer finds it in:
//   tokenizer.json    Hugging Face `tokenizers`: BPE, byte-level or as SentencePiece's
//   tokenizer.model   SentencePiece BPE, or the base64 ranks of tiktoken
//   vocab.json        with merges.txt beside it: byte-level BPE
//   tokenizer.bin     llama2.c
//   rwkv_vocab*.txt   RWKV's world vocabulary
//   FILE.gguf         the tokenizer in it; it says all by itself
// the others together with the files beside it (folder.h). `vocab` is the model's number of ids. Throws an Error that
// names the file and what cannot be used; no kind is guessed.
// `config` as in folder.h.
std::vector<u8> build_tokenizer_section(const std::filesystem::path& path, i64 vocab, TokenizerInfo* info,
                                        const Json* config = nullptr);

// The vocabulary in which token i is the byte i; `vocab` >= 256.
std::vector<u8> build_byte_tokenizer_section(i64 vocab);

}  // namespace edgellm::convert
