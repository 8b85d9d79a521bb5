// The text side of a conversion: which tokenizer and which chat template the file gets.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "convert/base/model.h"
#include "convert/chat/chat.h"
#include "convert/output/options.h"

namespace edgellm::convert {

struct TextSide {
  std::vector<u8> tokenizer;  // the section; empty: none
  std::optional<Chat> chat;
  std::string warning;  // what is missing though nobody asked for that; empty: nothing
};

// As the options ask, else as the source has it. Changes the model's first id and those that end a text to what the tokenizer says,
// and adds notes to it.
TextSide make_text_side(const Options& options, Model* model);

}  // namespace edgellm::convert
