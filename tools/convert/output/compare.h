// --verify: what the engine says of the file beside what it says of the source's own numbers.
#pragma once
#include <string>

#include "base/types.h"

namespace edgellm::convert {

struct Comparison {
  i64 tokens = 0;
  f64 difference = 0;              // the largest of a logit, as a share of the range of the reference's logits there
  f64 nll = 0, reference_nll = 0;  // means, in nats a token, of the ids that follow
  i64 same_top = 0;                // tokens after which both have the same best id
};

// An English sentence: the text of --verify unless one says.
extern const char VERIFIED_TEXT[];

// Runs both model files over `prompt`, cut at 128 ids; an empty one is VERIFIED_TEXT, or fixed ids where the file has no tokenizer.
Comparison compare(const std::string& path, const std::string& reference_path, const std::string& prompt);

}  // namespace edgellm::convert
