// Each scanner returns the length of the first word of a text that is not empty, exactly as its regular expression matches there.
#include "text/words.h"

#include "text/unicode.h"

namespace edgellm {

// later_number is no number to the regular expressions.
static bool is_other(Char c) {
  return c.what == CharClass::other || c.what == CharClass::later_number;
}

static i64 run_of(CharClass what, Text text, i64 pos) {
  for (Char c; (c = char_at(text, pos)).what == what;)
    pos += c.bytes;
  return pos;
}

static i64 run_of_others(Text text, i64 pos) {
  for (Char c; is_other(c = char_at(text, pos));)
    pos += c.bytes;
  return pos;
}

// 's|'t|'re|'ve|'m|'ll|'d at the start; 0 if there is none. `any_case` also takes U+017F, which folds to s.
static i64 contraction(Text text, bool any_case) {
  if (text.size < 2 || text[0] != '\'') return 0;
  char fold = any_case ? 0x20 : 0;
  char a = static_cast<char>(text[1] | fold);
  char b = text.size < 3 ? '\0' : static_cast<char>(text[2] | fold);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  if (any_case && text.size >= 3 && text[1] == '\xc5' && text[2] == '\xbf') return 3;
  return 0;
}

// \s+(?!\S)|\s+ : white space up to the last of it, which is left to the word that follows, if one does.
static i64 white_space(Text text) {
  i64 pos = 0;
  i32 last = 0;
  for (Char c; is_space(c = char_at(text, pos));) {
    pos += c.bytes;
    last = c.bytes;
  }
  return pos < text.size && pos > last ? pos - last : pos;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
static i64 gpt2_word(Text text) {
  if (i64 n = contraction(text, false)) return n;
  i64 pos = text[0] == ' ' ? 1 : 0;
  Char c = char_at(text, pos);
  if (c.what == CharClass::letter || c.what == CharClass::number) return run_of(c.what, text, pos);
  if (is_other(c)) return run_of_others(text, pos);
  return white_space(text);
}

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
static i64 llama3_word(Text text, i32 digits) {
  if (i64 n = contraction(text, true)) return n;
  Char c = char_at(text, 0);
  if (c.what == CharClass::letter) return run_of(CharClass::letter, text, 0);
  if (c.what == CharClass::number) {
    i64 pos = 0;
    for (i32 i = 0; i < digits && (c = char_at(text, pos)).what == CharClass::number; i++)
      pos += c.bytes;
    return pos;
  }
  Char second = char_at(text, c.bytes);
  if (second.what == CharClass::letter && c.what != CharClass::line_end) return run_of(CharClass::letter, text, c.bytes);
  if (is_other(c) || (text[0] == ' ' && is_other(second))) {
    return run_of(CharClass::line_end, text, run_of_others(text, text[0] == ' ' ? 1 : 0));
  }
  i64 line_end = 0;
  i64 pos = 0;
  for (; is_space(c = char_at(text, pos)); pos += c.bytes) {
    if (c.what == CharClass::line_end) line_end = pos + c.bytes;
  }
  return line_end ? line_end : white_space(text);
}

static bool is_digit(Char c) {
  return c.what == CharClass::number || c.what == CharClass::later_number;
}

static i64 digits_word(Text text) {
  Char c = char_at(text, 0);
  if (is_digit(c)) return c.bytes;
  i64 pos = 0;
  for (; c.what != CharClass::end && !is_digit(c); c = char_at(text, pos))
    pos += c.bytes;
  return pos;
}

static i64 spaces_word(Text text) {
  i64 pos = 1;
  while (pos < text.size && text[pos] != ' ')
    pos++;
  return pos;
}

static i64 words_word(Text text) {
  i64 pos = 0;
  while (pos < text.size && text[pos] == ' ')
    pos++;
  while (pos < text.size && text[pos] != ' ')
    pos++;
  return pos;
}

static i64 first_word(WordSplit split, Text text) {
  switch (split) {
    case WordSplit::none:
      break;
    case WordSplit::gpt2:
      return gpt2_word(text);
    case WordSplit::llama3:
      return llama3_word(text, 3);
    case WordSplit::qwen2:
      return llama3_word(text, 1);
    case WordSplit::digits:
      return digits_word(text);
    case WordSplit::spaces:
      return spaces_word(text);
    case WordSplit::words:
      return words_word(text);
  }
  return text.size;
}

WordCutter::WordCutter(const u8* splits, Text text) : splits_(splits) {
  while (steps_ < TOKENIZER_MAX_STEPS && splits[steps_])
    steps_++;
  rest_[0] = text;
}

bool WordCutter::next(Text* word) {
  i32 step = steps_;
  while (step > 0 && rest_[step].size == 0)
    step--;
  if (rest_[step].size == 0) return false;
  cut_by_ = step;
  for (; step < steps_; step++) {
    i64 n = first_word(static_cast<WordSplit>(splits_[step]), rest_[step]);
    rest_[step + 1] = rest_[step].slice(0, n);
    rest_[step] = rest_[step].from(n);
  }
  *word = rest_[steps_];
  rest_[steps_] = {};
  return true;
}

}  // namespace edgellm
