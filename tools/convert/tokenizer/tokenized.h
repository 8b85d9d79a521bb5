// Whole texts through the runtime's tokenizer.
#pragma once
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace edgellm::convert {

// Throws what the runtime says of the section, which must outlive the tokenizer.
Tokenizer open_tokenizer(Span<const u8> section, i64 vocab);

// `specials`: the texts of special tokens become their ids.
std::vector<i32> encode_text(const Tokenizer& tokenizer, const std::string& text, bool specials);
std::string decode_ids(const Tokenizer& tokenizer, const std::vector<i32>& ids);

inline Text text_view(const std::string& string) {
  return {string.data(), static_cast<i64>(string.size())};
}

}  // namespace edgellm::convert
