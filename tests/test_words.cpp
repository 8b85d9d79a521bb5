// Cutting text in words against the regular expressions that models publish, read literally by a small matcher, over all short texts
// of characters that are treated differently; and UTF-8 against table 3-7 of the Unicode standard.
#include "text/words.h"

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "text/unicode.h"

using namespace edgellm;

namespace {

// --- A matcher -------------------------------------------------------------------------------------------------------------

struct Letter {
  std::string bytes;
  CharClass what;

  bool is(char c) const { return bytes.size() == 1 && bytes[0] == c; }
  bool space() const { return what == CharClass::space || what == CharClass::line_end; }
  bool other() const { return what == CharClass::other || what == CharClass::later_number; }
};

using Letters = std::vector<Letter>;
using Set = bool (*)(const Letter&);

struct Element {
  Set set;
  size_t least, most;
};

struct Alternative {
  std::vector<Element> elements;
  bool not_before_non_space = false;  // (?!\S) at its end
};

constexpr size_t MANY = 1000;

// Where a match that begins at `at` ends, as a backtracking engine finds it: as many as possible of each element first.
bool matches(const Alternative& a, size_t element, const Letters& text, size_t at, size_t* end) {
  if (element == a.elements.size()) {
    *end = at;
    return !a.not_before_non_space || at == text.size() || text[at].space();
  }
  const Element& e = a.elements[element];
  size_t n = 0;
  while (n < e.most && at + n < text.size() && e.set(text[at + n]))
    n++;
  for (;; n--) {
    if (n < e.least) return false;
    if (matches(a, element + 1, text, at + n, end)) return true;
    if (n == 0) return false;
  }
}

std::string cut_by(const std::vector<Alternative>& alternatives, const Letters& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    for (const Alternative& a : alternatives) {
      if (matches(a, 0, text, at, &end) && end > at) break;
      end = at;
    }
    if (end == at) return "no match";
    for (; at < end; at++)
      out += text[at].bytes;
    out += "|";
  }
  return out;
}

bool letter(const Letter& c) {
  return c.what == CharClass::letter;
}
bool number(const Letter& c) {
  return c.what == CharClass::number;
}
bool other(const Letter& c) {
  return c.other();
}
bool space(const Letter& c) {
  return c.space();
}
bool line_end(const Letter& c) {
  return c.is('\r') || c.is('\n');
}
bool blank(const Letter& c) {
  return c.is(' ');
}
bool before_letters(const Letter& c) {
  return !line_end(c) && !letter(c) && !number(c);
}
bool apostrophe(const Letter& c) {
  return c.is('\'');
}

template <char C>
bool exactly(const Letter& c) {
  return c.is(C);
}
// Of (?i:...): U+017F folds to s.
template <char C>
bool any_case(const Letter& c) {
  return c.is(C) || c.is(static_cast<char>(C - 32)) || (C == 's' && c.bytes == "\xc5\xbf");
}

Alternative word(std::initializer_list<Set> sets) {
  Alternative a;
  for (Set set : sets)
    a.elements.push_back({set, 1, 1});
  return a;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
const std::vector<Alternative> GPT2 = {
    word({apostrophe, exactly<'s'>}),
    word({apostrophe, exactly<'t'>}),
    word({apostrophe, exactly<'r'>, exactly<'e'>}),
    word({apostrophe, exactly<'v'>, exactly<'e'>}),
    word({apostrophe, exactly<'m'>}),
    word({apostrophe, exactly<'l'>, exactly<'l'>}),
    word({apostrophe, exactly<'d'>}),
    {{{blank, 0, 1}, {letter, 1, MANY}}},
    {{{blank, 0, 1}, {number, 1, MANY}}},
    {{{blank, 0, 1}, {other, 1, MANY}}},
    {{{space, 1, MANY}}, true},
    {{{space, 1, MANY}}},
};

// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
std::vector<Alternative> llama3(size_t digits) {
  return {
      word({apostrophe, any_case<'s'>}),
      word({apostrophe, any_case<'t'>}),
      word({apostrophe, any_case<'r'>, any_case<'e'>}),
      word({apostrophe, any_case<'v'>, any_case<'e'>}),
      word({apostrophe, any_case<'m'>}),
      word({apostrophe, any_case<'l'>, any_case<'l'>}),
      word({apostrophe, any_case<'d'>}),
      {{{before_letters, 0, 1}, {letter, 1, MANY}}},
      {{{number, 1, digits}}},
      {{{blank, 0, 1}, {other, 1, MANY}, {line_end, 0, MANY}}},
      {{{space, 0, MANY}, {line_end, 1, MANY}}},
      {{{space, 1, MANY}}, true},
      {{{space, 1, MANY}}},
  };
}

// --- What is compared ------------------------------------------------------------------------------------------------------

const Letters ALPHABET = {
    {"a", CharClass::letter},
    {"s", CharClass::letter},
    {"L", CharClass::letter},
    {"e", CharClass::letter},
    {"\xc5\xbf", CharClass::letter},  // U+017F
    {"1", CharClass::number},
    {"\xd9\xa3", CharClass::number},  // U+0663
    {" ", CharClass::space},
    {"\xe2\x80\xa8", CharClass::space},  // U+2028
    {"\n", CharClass::line_end},
    {"'", CharClass::other},
    {"!", CharClass::other},
    {"\xff", CharClass::other},
    {"\xf0\x91\xb7\xa0", CharClass::later_number},  // U+11DE0
};

std::string cut(const std::vector<WordSplit>& splits, const std::string& text, std::string* continued = nullptr) {
  u8 list[8] = {};
  for (size_t i = 0; i < splits.size(); i++)
    list[i] = static_cast<u8>(splits[i]);
  WordCutter cutter(list, {text.data(), static_cast<i64>(text.size())});
  std::string out;
  for (Text one; cutter.next(&one);) {
    if (one.size == 0) return "an empty word";
    out += std::string(one.data, static_cast<size_t>(one.size)) + "|";
    if (continued) *continued += cutter.continues() ? "+" : "-";
  }
  return out;
}

std::string joined(const Letters& letters) {
  std::string text;
  for (const Letter& c : letters)
    text += c.bytes;
  return text;
}

void compare(const Letters& letters) {
  static const std::vector<Alternative> three = llama3(3), one = llama3(1);
  const std::string text = joined(letters);
  const std::string found[] = {cut({WordSplit::gpt2}, text), cut({WordSplit::llama3}, text), cut({WordSplit::qwen2}, text)};
  const std::string expected[] = {cut_by(GPT2, letters), cut_by(three, letters), cut_by(one, letters)};
  for (i32 i = 0; i < 3; i++)
    CHECK_EQ(found[i], expected[i]);
}

}  // namespace

TEST(all_texts_of_four_characters) {
  for (size_t count = 0; count <= 4; count++) {
    size_t all = 1;
    for (size_t i = 0; i < count; i++)
      all *= ALPHABET.size();
    for (size_t number_of = 0; number_of < all; number_of++) {
      Letters letters;
      for (size_t i = 0, rest = number_of; i < count; i++, rest /= ALPHABET.size())
        letters.push_back(ALPHABET[rest % ALPHABET.size()]);
      compare(letters);
    }
  }
}

TEST(longer_texts) {
  std::mt19937 random(3);
  Letters more = ALPHABET;
  for (const char* c : {"t", "r", "v", "m", "l", "d", "T", "R", "E", "V", "M", "D", "S"})
    more.push_back({c, CharClass::letter});
  for (i32 i = 0; i < 10; i++)
    more.push_back(ALPHABET[static_cast<size_t>(5 + i % 6)]);  // contractions, numbers and spaces are more frequent
  for (i32 round = 0; round < 20000; round++) {
    Letters letters;
    for (size_t i = random() % 20; i > 0; i--)
      letters.push_back(more[random() % more.size()]);
    compare(letters);
  }
  const auto contractions = {"s", "t", "re", "ve", "m", "ll", "d", "S", "RE", "lL", "rx", "vx", "lx", "x", "r", "v", "l"};
  for (const char* end : contractions) {
    Letters letters = {{"a", CharClass::letter}, {"'", CharClass::other}};
    for (const char* c = end; *c; c++)
      letters.push_back({std::string(1, *c), CharClass::letter});
    compare(letters);
    letters.push_back({"b", CharClass::letter});
    compare(letters);
  }
}

TEST(other_steps) {
  const struct {
    std::vector<WordSplit> splits;
    const char *text, *words, *continued;
  } cases[] = {
      {{}, "a b1", "a b1|", "-"},
      {{}, "", "", ""},
      {{WordSplit::digits}, "ab12c3", "ab|1|2|c|3|", "-----"},
      {{WordSplit::digits}, "1", "1|", "-"},
      {{WordSplit::digits}, "\xd9\xa3x\xf0\x91\xb7\xa0", "\xd9\xa3|x|\xf0\x91\xb7\xa0|", "---"},
      {{WordSplit::spaces}, "ab c  d ", "ab| c| | d| |", "-----"},
      {{WordSplit::spaces}, " a", " a|", "-"},
      {{WordSplit::words}, "ab c  d ", "ab| c|  d| |", "++++"},
      {{WordSplit::words}, "  a", "  a|", "+"},
      {{WordSplit::words}, "   ", "   |", "+"},
      {{WordSplit::digits, WordSplit::words}, "a b1 c", "a| b|1| c|", "-+--"},
      {{WordSplit::spaces, WordSplit::digits}, "a1 2b", "a|1| |2|b|", "-----"},
      {{WordSplit::digits, WordSplit::gpt2}, "ab 12's", "ab| |1|2|'s|", "-----"},
      {{WordSplit::gpt2, WordSplit::digits, WordSplit::spaces, WordSplit::words}, "ab 12's d", "ab| |1|2|'s| d|", "------"},
  };
  for (const auto& one : cases) {
    std::string continued;
    CHECK_EQ(cut(one.splits, one.text, &continued), one.words);
    CHECK_EQ(continued, one.continued);
  }
}

namespace {

// By the lines of table 3-7, whose third and later bytes are all 80..BF.
i32 length_plainly(const std::string& s) {
  const struct {
    u8 first_low, first_high, second_low, second_high;
    i32 bytes;
  } lines[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
               {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
               {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
  auto byte = [&](i32 i) { return static_cast<u8>(s[static_cast<size_t>(i)]); };
  if (byte(0) < 0x80) return 1;
  for (const auto& line : lines) {
    if (byte(0) < line.first_low || byte(0) > line.first_high) continue;
    for (i32 i = 1; i < line.bytes; i++) {
      if (i >= static_cast<i32>(s.size())) return 0;
      if (byte(i) < (i == 1 ? line.second_low : 0x80) || byte(i) > (i == 1 ? line.second_high : 0xbf)) return -i;
    }
    return line.bytes;
  }
  return -1;
}

}  // namespace

// Every pair of bytes at the start, and every byte that is on one side of a bound behind it.
TEST(utf8_of_all_bytes) {
  const std::string later =
      "\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xff"
      "a";
  i32 different = 0;
  auto same = [&](const std::string& s) {
    different += utf8_length(s.data(), static_cast<i64>(s.size())) != length_plainly(s);
  };
  for (i32 a = 0; a < 256; a++) {
    same({static_cast<char>(a)});
    for (i32 b = 0; b < 256; b++) {
      const std::string two = {static_cast<char>(a), static_cast<char>(b)};
      same(two);
      for (char c : later) {
        same(two + c);
        for (char d : later)
          same(two + c + d);
      }
    }
  }
  CHECK_EQ(different, 0);
}

// Where the white space that ends somewhere begins: characters, not bytes, and nothing of what is before `begin`.
TEST(spaces_before_a_place) {
  auto before = [](const std::string& text, i64 begin, i64 end) {
    return space_before({text.data(), static_cast<i64>(text.size())}, begin, end);
  };
  CHECK_EQ(before("a \n\t", 0, 4), 1);
  CHECK_EQ(before("a \n\tb", 0, 4), 1);
  CHECK_EQ(before("a \n\t", 2, 4), 2);
  CHECK_EQ(before("a \n\t", 4, 4), 4);
  CHECK_EQ(before("   ", 0, 3), 0);
  CHECK_EQ(before("ab", 0, 2), 2);
  CHECK_EQ(before("a\xe3\x80\x80\xc2\xa0 ", 0, 7), 1);  // U+3000, U+00A0
  CHECK_EQ(before("a\xe3\x80\x80", 2, 4), 4);           // not its second half
  CHECK_EQ(before("a\xf0\x9f\x91\x8d", 0, 5), 5);
  CHECK_EQ(before("a \x80\x80", 0, 4), 4);
  CHECK_EQ(before(" \x80", 0, 2), 2);
  CHECK_EQ(before("\xc2\xa0", 0, 2), 0);
  CHECK_EQ(before("", 0, 0), 0);
}

// Unicode's White_Space, character by character, and all of ASCII.
TEST(spaces_and_ascii) {
  const std::vector<u32> spaces = {0x09,   0x0b,   0x0c,   0x20,   0x85,   0xa0,   0x1680, 0x2000,
                                   0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008,
                                   0x2009, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000};
  std::vector<u32> found, ends;
  for (u32 c = 0; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    char bytes[4];
    const i32 size = utf8_encode(c, bytes);
    const CharClass what = char_at({bytes, size}, 0).what;
    if (what == CharClass::space) found.push_back(c);
    if (what == CharClass::line_end) ends.push_back(c);
    if (c >= 128) continue;
    const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), is_number = c >= '0' && c <= '9';
    CHECK_EQ(what == CharClass::letter, is_letter);
    CHECK_EQ(what == CharClass::number, is_number);
  }
  CHECK(found == spaces);
  CHECK((ends == std::vector<u32>{'\n', '\r'}));
}

TEST(characters_at_a_place) {
  const std::string text = "a\xc3\xa9\xff\xe4\xb8";
  auto at = [&](i64 pos) { return char_at({text.data(), static_cast<i64>(text.size())}, pos); };
  CHECK(at(0).what == CharClass::letter && at(0).bytes == 1);
  CHECK(at(1).what == CharClass::letter && at(1).bytes == 2);
  CHECK(at(2).what == CharClass::other && at(2).bytes == 1);
  CHECK(at(3).what == CharClass::other && at(3).bytes == 1);
  CHECK(at(4).what == CharClass::other && at(4).bytes == 1);  // cut off
  CHECK(at(6).what == CharClass::end && at(6).bytes == 0);
  CHECK(at(7).what == CharClass::end && at(7).bytes == 0);
}
