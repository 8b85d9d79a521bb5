#include "cli/line_text.h"

#include "text/unicode.h"

namespace edgellm {

constexpr Text SIGN = "\xef\xbf\xbd";  // U+FFFD
constexpr Text TAB = "    ";

static bool flag_half(u32 c) {
  return c >= 0x1f1e6 && c <= 0x1f1ff;
}

// The code point at `at`, 0 for a byte that is none.
static u32 point_at(Text text, i64 at, i32* bytes) {
  *bytes = utf8_length(text.data + at, text.size - at);
  if (*bytes > 0) return utf8_decode(text.data + at, *bytes);
  *bytes = 1;
  return 0;
}

Glyph glyph_at(Text text, i64 at) {
  Glyph glyph;
  const u32 c = point_at(text, at, &glyph.bytes);
  glyph.line_feed = c == '\n';
  if (glyph.line_feed) return glyph;
  if (c == '\t') {
    glyph.shown = TAB;
    glyph.columns = static_cast<i32>(TAB.size);
  } else if (c < ' ' || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) {
    glyph.shown = SIGN;  // terminals would obey some of these
    glyph.columns = 1;
  } else {
    glyph.shown = text.slice(at, glyph.bytes);
    glyph.columns = char_width(c);
    glyph.joins = glyph.columns == 0 || (c >= 0x1f3fb && c <= 0x1f3ff);  // the second: colours of skin
  }
  return glyph;
}

i64 character_end(Text text, i64 at) {
  constexpr u32 JOINER = 0x200d;
  i32 bytes;
  u32 before = point_at(text, at, &bytes);
  if (before == '\n') return at + bytes;
  bool half = flag_half(before);
  for (at += bytes; at < text.size; at += bytes) {
    const u32 c = point_at(text, at, &bytes);
    const bool joined = glyph_at(text, at).joins || (before == JOINER && c != '\n') || (half && flag_half(c));
    if (!joined) break;
    half = false;
    before = c;
  }
  return at;
}

i64 character_before(Text text, i64 at) {
  if (at == 0) return 0;
  i64 start = line_start(text, at - 1);
  for (i64 end; (end = character_end(text, start)) < at;)
    start = end;
  return start;
}

i64 line_start(Text text, i64 at) {
  while (at > 0 && text[at - 1] != '\n')
    at--;
  return at;
}

i64 line_end(Text text, i64 at) {
  while (at < text.size && text[at] != '\n')
    at++;
  return at;
}

static bool in_word(Text text, i64 at) {
  const CharClass what = char_at(text, at).what;
  return what == CharClass::letter || what == CharClass::number || what == CharClass::later_number;
}

i64 word_start(Text text, i64 at) {
  for (bool within = false; at > 0;) {
    const i64 before = character_before(text, at);
    if (within && !in_word(text, before)) break;
    within = within || in_word(text, before);
    at = before;
  }
  return at;
}

i64 word_end(Text text, i64 at) {
  for (bool within = false; at < text.size; at = character_end(text, at)) {
    if (within && !in_word(text, at)) break;
    within = within || in_word(text, at);
  }
  return at;
}

i64 blank_before(Text text, i64 at) {
  at = space_before(text, 0, at);
  while (at > 0) {
    const i64 before = character_before(text, at);
    if (is_space(char_at(text, before))) break;
    at = before;
  }
  return at;
}

}  // namespace edgellm
