#pragma once
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

// What the files of a tokenizer say beside the vocabulary.
struct TokenizerInfo {
  std::string kind;                  // for people: "tokenizer.json, byte-level BPE"
  i64 ids = 0;                       // in the section
  i64 bos = -1;                      // id that the model wants before a text; -1: none
  i64 eos = -1;                      // id that ends a text; -1: none
  std::vector<u32> stop;             // ids that end generation, ascending
  std::string chat_template;         // Jinja source; empty: none
  std::string bos_token, eos_token;  // their texts, for the template
};

}  // namespace edgellm::convert
