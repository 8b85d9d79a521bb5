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

  // Whether the word given last follows the one before without a cut of its own: WordSplit::words only saves time.
  bool continues() const { return splits_[cut_by_] == static_cast<u8>(WordSplit::words); }

 private:
  const u8* splits_;
  i32 steps_ = 0;
  i32 cut_by_ = 0;                      // the step that began the word given last
  Text rest_[TOKENIZER_MAX_STEPS + 1];  // [i]: what step i has still to cut; [steps]: a word
};

}  // namespace edgellm
