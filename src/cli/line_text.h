// A text as a terminal shows it: what one sees as a character, how many columns it takes, and where lines and words of it begin
// and end. Text may be any bytes: what cannot be shown has a sign in its place. Positions are offsets in bytes.
#pragma once
#include "base/types.h"

namespace edgellm {

// One code point, or one byte that is not UTF-8.
struct Glyph {
  i32 bytes = 0;
  i32 columns = 0;
  bool line_feed = false;
  bool joins = false;  // belongs to the character before
  Text shown;
};

Glyph glyph_at(Text text, i64 at);

// Where the character at `at` ends, marks and all that is joined to it included; `at` is not the end of the text.
i64 character_end(Text text, i64 at);
// Where the character that ends at `at` begins; 0 at the start.
i64 character_before(Text text, i64 at);

// Lines end at line feeds.
i64 line_start(Text text, i64 at);
i64 line_end(Text text, i64 at);

// Words are letters and numbers; what lies between is passed first.
i64 word_start(Text text, i64 at);
i64 word_end(Text text, i64 at);

// The start of what has no white space, with the white space behind it.
i64 blank_before(Text text, i64 at);

}  // namespace edgellm
