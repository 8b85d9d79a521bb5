// What was written can be used, always, and is what was meant, with --verify.
#pragma once
#include <string>

#include "convert/output/encode.h"
#include "convert/output/plan.h"

namespace edgellm::convert {

struct Written {
  Target target;
  Loss loss;  // as `encode` found it
};

// Opens the file at `path` as the runtime does, all but its weights: metadata, tensors, tokenizer, grammar, chat template and the plan
// of its memory. It takes milliseconds. Throws what the runtime would say, in the name of `source`.
void require_usable(const std::string& path, const std::string& source);

// Opens the file at `path` as the runtime does, compares its checksums, and unpacks every weight with the runtime's reference
// kernels: its distance from the source must be to the bit the loss that was found when it was packed. Throws when not.
void verify(const std::string& path, const std::vector<Written>& written);

// Encodes a text with the tokenizer of the file at `path` and decodes it again: all ids must be the model's, and plain ASCII
// must come back as it was, maybe behind a space, or without the characters that have no id. The answer, a line, says which;
// it is empty where there is no tokenizer.
std::string verify_tokenizer(const std::string& path, const std::string& text);

}  // namespace edgellm::convert
