// Cutting text in words before merging: the regular expressions of the model families, written out as scanners.
#pragma once
#include "text/section.h"

namespace edgellm {

// Gives the words of a text in order; together they are the text. Linear in the size of the text.
class WordCutter {
 public:
  // `splits` is the header's list, checked by Tokenizer::open.
  WordCutter(const u8* splits, Text text);

  // False when there are no more.
  bool next(Text* word);

 private:
  const u8* splits_;
  i32 steps_ = 0;
  Text rest_[TOKENIZER_MAX_STEPS + 1];  // [i]: what step i has still to cut; [steps]: a word
};

}  // namespace edgellm
