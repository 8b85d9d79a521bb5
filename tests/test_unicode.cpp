// UTF-8 and normalisation form C.
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "text/unicode.h"

using namespace edgellm;

static std::string nfc(const std::string& text) {
  i64 n = static_cast<i64>(text.size());
  std::unique_ptr<char[]> out(new char[static_cast<size_t>(nfc_bytes(n)) + 1]);
  std::unique_ptr<u32[]> scratch(new u32[static_cast<size_t>(nfc_scratch_bytes(n)) / 4 + 1]);
  i64 size = normalize_nfc({text.data(), n}, out.get(), reinterpret_cast<u8*>(scratch.get()));
  CHECK(size <= nfc_bytes(n));
  return {out.get(), static_cast<size_t>(size)};
}

static std::string utf8(std::initializer_list<u32> points) {
  std::string out;
  for (u32 c : points) {
    char buffer[4];
    out.append(buffer, static_cast<size_t>(utf8_encode(c, buffer)));
  }
  return out;
}

TEST(utf8_of_every_character) {
  for (u32 c = 0; c < 0x110000; c++) {
    char buffer[4];
    i32 bytes = utf8_encode(c, buffer);
    bool surrogate = c >= 0xd800 && c < 0xe000;
    CHECK_EQ(utf8_length(buffer, bytes), surrogate ? -1 : bytes);
    if (!surrogate) CHECK_EQ(utf8_decode(buffer, bytes), c);
    for (i32 n = 1; n < bytes && !surrogate; n++)
      CHECK_EQ(utf8_length(buffer, n), 0);
  }
}

TEST(utf8_of_what_is_none) {
  CHECK_EQ(utf8_length("\x80", 1), -1);
  CHECK_EQ(utf8_length("\xc0\x80", 2), -1);
  CHECK_EQ(utf8_length("\xe0\x80\x80", 3), -1);
  CHECK_EQ(utf8_length("\xe4\xb8z", 3), -2);
  CHECK_EQ(utf8_length("\xf0\x9f\x91z", 4), -3);
  CHECK_EQ(utf8_length("\xf4\x90\x80\x80", 4), -1);
  CHECK_EQ(utf8_length("\xf5\x80\x80\x80", 4), -1);
}

TEST(width_on_a_terminal) {
  struct Row {
    u32 first, last;
    i32 columns;
  };
  const Row rows[] = {
      {' ', '~', 1},         {0xa0, 0x2ff, 1},        {0x300, 0x36f, 0},     {0x370, 0x377, 1},     {0x483, 0x489, 0},
      {0x600, 0x605, 1},     {0x61c, 0x61c, 0},       {0x903, 0x903, 1},     {0x1100, 0x115f, 2},   {0x1160, 0x11ff, 0},
      {0x200b, 0x200f, 0},   {0x2010, 0x2027, 1},     {0x2764, 0x2764, 1},   {0x2705, 0x2705, 2},   {0x3000, 0x3000, 2},
      {0x3041, 0x3096, 2},   {0x3099, 0x309a, 0},     {0x3400, 0x4dbf, 2},   {0x4e00, 0x9fff, 2},   {0xac00, 0xd7a3, 2},
      {0xf900, 0xfaff, 2},   {0xfe00, 0xfe0f, 0},     {0xfeff, 0xfeff, 0},   {0xff01, 0xff60, 2},   {0xff61, 0xffdc, 1},
      {0x1f1e6, 0x1f1ff, 1}, {0x1f3fb, 0x1f3ff, 2},   {0x1f600, 0x1f64f, 2}, {0x20000, 0x2fffd, 2}, {0x30000, 0x3fffd, 2},
      {0xe0100, 0xe01ef, 0}, {0x10fffe, 0x10ffff, 1},
  };
  for (const Row& row : rows) {
    for (u32 c = row.first; c <= row.last; c++)
      CHECK_EQ(char_width(c), row.columns);
  }
}

TEST(normalisation) {
  CHECK_EQ(nfc("plain"), std::string("plain"));
  CHECK_EQ(nfc(utf8({'e', 0x301})), utf8({0xe9}));
  CHECK_EQ(nfc(utf8({0x212b})), utf8({0xc5}));                  // a singleton
  CHECK_EQ(nfc(utf8({0x1e9b, 0x323})), utf8({0x1e9b, 0x323}));  // examples of annex 15
  CHECK_EQ(nfc(utf8({'s', 0x323, 0x307})), utf8({0x1e69}));
  CHECK_EQ(nfc(utf8({'s', 0x307, 0x323})), utf8({0x1e69}));  // sorted first
  CHECK_EQ(nfc(utf8({'a', 0x315, 0x301})), utf8({0xe1, 0x315}));
  CHECK_EQ(nfc(utf8({'a', 0x301, 'x', 0x301})), utf8({0xe1, 'x', 0x301}));
  CHECK_EQ(nfc(utf8({0x1100, 0x1161, 0x11a8})), utf8({0xac01}));  // Hangul
  CHECK_EQ(nfc(utf8({0xac00, 0x11a8})), utf8({0xac01}));
  CHECK_EQ(nfc(utf8({0xac01, 0x11a8})), utf8({0xac01, 0x11a8}));
  CHECK_EQ(nfc(utf8({0x1d160})), utf8({0x1d158, 0x1d165, 0x1d16e}));  // excluded, and three times as long
  CHECK_EQ(nfc(utf8({0x344})), utf8({0x308, 0x301}));
  CHECK_EQ(nfc(utf8({0x9c7, 0x9be})), utf8({0x9cb}));                       // two starters
  CHECK_EQ(nfc(utf8({0x9c7, 0x334, 0x9be})), utf8({0x9c7, 0x334, 0x9be}));  // kept apart
  CHECK_EQ(nfc("e\xff" + utf8({0x301})), "e\xff" + utf8({0x301}));          // by a stray byte too
  CHECK_EQ(nfc("e" + utf8({0x301}) + "\xc3"), utf8({0xe9}) + "\xc3");
}

TEST(normalised_text_stays) {
  std::string all;
  for (u32 c = 0; c < 0x110000; c++) {
    if (c >= 0xd800 && c < 0xe000) continue;
    std::string once = nfc(utf8({c}));
    CHECK_EQ(nfc(once), once);
    all += utf8({c, 0x323, c, 0x301});
  }
  std::string once = nfc(all);
  CHECK(nfc(once) == once);
}

TEST(classes) {
  auto what = [](u32 c) {
    std::string text = utf8({c});
    return static_cast<int>(char_at({text.data(), static_cast<i64>(text.size())}, 0).what);
  };
  auto is = [](CharClass c) { return static_cast<int>(c); };
  for (u32 c : {u32{'a'}, u32{'Z'}, 0xaau, 0xe9u, 0x3a9u, 0x4e16u, 0xac00u, 0x1c89u, 0x323afu})
    CHECK_EQ(what(c), is(CharClass::letter));
  for (u32 c : {u32{'0'}, 0xb2u, 0xbdu, 0x663u, 0x2167u, 0x3007u})
    CHECK_EQ(what(c), is(CharClass::number));
  for (u32 c : {u32{' '}, u32{'\t'}, 0xbu, 0x85u, 0xa0u, 0x1680u, 0x200au, 0x3000u})
    CHECK_EQ(what(c), is(CharClass::space));
  for (u32 c : {u32{'\n'}, u32{'\r'}})
    CHECK_EQ(what(c), is(CharClass::line_end));
  for (u32 c : {0u, 0x1cu, u32{'_'}, u32{'\''}, 0x301u, 0x200bu, 0x2019u, 0x1f44du, 0xe000u, 0x10ffffu})
    CHECK_EQ(what(c), is(CharClass::other));
  CHECK_EQ(what(0x11de0), is(CharClass::later_number));
}
