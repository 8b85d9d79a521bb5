// What tokenizers need of Unicode: UTF-8, letters and numbers, normalisation form C; and what a line on a terminal needs of it.
// Text may be any bytes.
#pragma once
#include "base/types.h"

namespace edgellm {

// What the bytes at `p` (n >= 1 of them) begin with: k > 0: a character of k bytes; 0: the start of a character that is cut off
// by the end; -k: no character, of which the first k bytes are the longest part that could have become one (at least 1).
i32 utf8_length(const char* p, i64 n);

// The code point of a character of `bytes` bytes, as utf8_length found it.
u32 utf8_decode(const char* p, i32 bytes);

// Writes 1 to 4 bytes, returns how many. c <= 0x10ffff.
i32 utf8_encode(u32 c, char* out);

enum class CharClass : u8 { other, letter, number, later_number, space, line_end, end };

struct Char {
  CharClass
      what;   // later_number: a number since Unicode 17.0, which counts as `other` for regular expressions; end: no more
  i32 bytes;  // a byte that is not UTF-8 is one `other`
};

// The character at `pos` of `text`; {end, 0} at the end.
Char char_at(Text text, i64 pos);

// Space or line end: Unicode's White_Space.
static inline bool is_space(Char c) {
  return c.what == CharClass::space || c.what == CharClass::line_end;
}

// Columns that a character takes on a terminal: 0 for marks and what else joins the one before, 2 for East Asian wide ones and
// emoji, otherwise 1. Control characters have none of their own: whoever draws them decides.
i32 char_width(u32 c);

// Where the white space that ends at `end` starts, `begin` at the earliest.
i64 space_before(Text text, i64 begin, i64 end);

// Bytes that normalize_nfc writes at most, and bytes of scratch that it needs (aligned to 4), for n bytes of text.
constexpr i64 nfc_bytes(i64 n) {
  return 3 * n;
}
constexpr i64 nfc_scratch_bytes(i64 n) {
  return 16 * n;
}

// Writes the normalisation form C (Unicode 9.0, as the reference has it) of `text` to `out` and returns its size. Bytes that are
// not UTF-8 stay and keep their neighbours apart. `out` and `scratch` may not overlap `text`.
i64 normalize_nfc(Text text, char* out, u8* scratch);

}  // namespace edgellm
