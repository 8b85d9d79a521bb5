// Keys in, a screen and a message out: the line editor with no terminal.
#include "cli/line_editor.h"

#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "check.h"
#include "text/unicode.h"

using namespace edgellm;

namespace {

// What a terminal makes of the bytes that the editor sends; anything else is a mistake of the editor. Like many it waits at its right
// edge: the next character goes to the next row.
struct Screen {
  i32 columns, rows;
  std::vector<std::vector<std::string>> cells;
  i32 y = 0, x = 0, bells = 0;

  Screen(i32 w, i32 h)
      : columns(w), rows(h), cells(static_cast<size_t>(h), std::vector<std::string>(static_cast<size_t>(w))) {}

  std::string& cell(i32 row, i32 column) { return cells[static_cast<size_t>(row)][static_cast<size_t>(column)]; }
  void line_feed() {
    if (++y < rows) return;
    y = rows - 1;
    cells.erase(cells.begin());
    cells.emplace_back(static_cast<size_t>(columns));
  }
  void clear(i32 row, i32 column) {
    for (; row < rows; row++, column = 0) {
      for (; column < columns; column++)
        cell(row, column).clear();
    }
  }
  void draw(const std::string& character) {
    const i32 width = char_width(utf8_decode(character.data(), static_cast<i32>(character.size())));
    if (width == 0) {
      CHECK(x > 0);
      cell(y, x - 1) += character;
      return;
    }
    if (x + width > columns) {
      x = 0;
      line_feed();
    }
    cell(y, x) = character;
    if (width == 2) cell(y, x + 1) = "|";  // the second half
    x += width;
  }
  size_t escape(Text bytes) {
    size_t at = 2;
    i32 number = 0;
    CHECK(bytes.size > 2 && bytes[1] == '[');
    while (bytes[static_cast<i64>(at)] >= '0' && bytes[static_cast<i64>(at)] <= '9')
      number = number * 10 + (bytes[static_cast<i64>(at++)] - '0');
    const char letter = bytes[static_cast<i64>(at)];
    if (letter == 'A') y = std::max(0, y - number);
    if (letter == 'C') x = std::min(columns - 1, x + number);
    if (letter == 'H') y = x = 0;
    if (letter == 'J') clear(number == 2 ? 0 : y, number == 2 ? 0 : x);
    CHECK(std::string("ACHJ").find(letter) != std::string::npos);
    return at + 1;
  }
  void feed(Text bytes) {
    while (bytes.size > 0) {
      const char c = bytes[0];
      i64 used = 1;
      if (c == '\x1b') {
        used = static_cast<i64>(escape(bytes));
      } else if (c == '\r') {
        x = 0;
      } else if (c == '\n') {
        line_feed();
      } else if (c == '\a') {
        bells++;
      } else {
        used = utf8_length(bytes.data, bytes.size);
        CHECK(used > 0 && static_cast<u8>(c) >= ' ' && c != 0x7f);
        if (used <= 0) return;
        draw({bytes.data, static_cast<size_t>(used)});
      }
      bytes = bytes.from(used);
    }
  }
  // Rows from the top to the last with something in it.
  std::string text() const {
    std::string all;
    for (const auto& row : cells) {
      std::string line;
      for (const std::string& one : row)
        line += one.empty() ? " " : one == "|" ? "" : one;
      line.erase(line.find_last_not_of(' ') + 1);
      all += line + "\n";
    }
    all.erase(all.find_last_not_of('\n') + 1);
    return all;
  }
};

struct Typed {
  static constexpr i64 LONGEST = 200;

  Screen screen;
  std::vector<char> memory = std::vector<char>(static_cast<size_t>(LineEditor::memory_bytes(LONGEST)));
  LineEditor editor = LineEditor(
      {memory.data(), static_cast<i64>(memory.size())},
      [](void* context, Text bytes) { static_cast<Screen*>(context)->feed(bytes); }, &screen);
  i64 used = 0;

  explicit Typed(i32 columns = 20, i32 rows = 8) : screen(columns, rows) { editor.begin({columns, rows}); }
  Typed(const Typed&) = delete;

  LineEditor::Event type(const std::string& keys) {
    return editor.take({keys.data(), static_cast<i64>(keys.size())}, &used);
  }
  // One byte at a time, as a slow line brings them.
  LineEditor::Event type_slowly(const std::string& keys) {
    LineEditor::Event event = LineEditor::Event::none;
    for (const char& key : keys)
      event = editor.take({&key, 1}, &used);
    return event;
  }
  std::string text() const { return {editor.text().data, static_cast<size_t>(editor.text().size)}; }
  void say(const std::string& message) {
    CHECK(type(message + "\r") == LineEditor::Event::message);
    editor.leave();
    editor.begin({screen.columns, screen.rows});
  }
};

struct Row {
  const char *keys, *text, *screen;
  i32 y, x;
};

#define UP "\x1b[A"
#define DOWN "\x1b[B"
#define RIGHT "\x1b[C"
#define LEFT "\x1b[D"
#define HAN "\xe6\xbc\xa2"
#define ACUTE "\xcc\x81"
#define SMILE "\xf0\x9f\x98\x80"
#define WOMAN_AND_GIRL "\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x91\xa7"
#define BROWN_HAND "\xf0\x9f\x91\x8b\xf0\x9f\x8f\xbd"
#define FLAG_DE "\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa"
#define PASTE "\x1b[200~"
#define PASTED "\x1b[201~"
#define SIGN "\xef\xbf\xbd"

// In a window of 20 columns and 8 rows.
const Row ROWS[] = {
    {"", "", ">", 0, 2},
    {"abc", "abc", "> abc", 0, 5},
    {"abc" LEFT, "abc", "> abc", 0, 4},
    {"abc" LEFT LEFT LEFT LEFT "x", "xabc", "> xabc", 0, 3},
    {"abc" LEFT LEFT RIGHT "x", "abxc", "> abxc", 0, 5},
    {"abc" RIGHT "x", "abcx", "> abcx", 0, 6},
    // Every way to say Home and End.
    {"abc\x01x", "xabc", "> xabc", 0, 3},
    {"abc\x1b[Hx", "xabc", "> xabc", 0, 3},
    {"abc\x1bOHx", "xabc", "> xabc", 0, 3},
    {"abc\x1b[1~x", "xabc", "> xabc", 0, 3},
    {"abc\x1b[7~x", "xabc", "> xabc", 0, 3},
    {"abc\x01\x05x", "abcx", "> abcx", 0, 6},
    {"abc\x01\x1b[Fx", "abcx", "> abcx", 0, 6},
    {"abc\x01\x1bOFx", "abcx", "> abcx", 0, 6},
    {"abc\x01\x1b[4~x", "abcx", "> abcx", 0, 6},
    {"abc\x01\x1b[8~x", "abcx", "> abcx", 0, 6},
    // Arrows of the other mode, letters, and held keys.
    {"abc\x1bODx", "abxc", "> abxc", 0, 5},
    {"abc\x01\x1bOCx", "axbc", "> axbc", 0, 4},
    {"abc\x02x", "abxc", "> abxc", 0, 5},
    {"abc\x01\x06x", "axbc", "> axbc", 0, 4},
    {"abc\x1b[1;2Dx", "abxc", "> abxc", 0, 5},
    {"one two-six\x1b[1;5Dx", "one two-xsix", "> one two-xsix", 0, 11},
    {"one two-six\x1b[1;3D\x1b[1;5Dx", "one xtwo-six", "> one xtwo-six", 0, 7},
    {"one two\x01\x1b[1;5Cx", "onex two", "> onex two", 0, 6},
    {"one two\x01\033f\033fx", "one twox", "> one twox", 0, 10},
    {"one two \033bx", "one xtwo ", "> one xtwo", 0, 7},
    {"one two\x1bOdx", "one xtwo", "> one xtwo", 0, 7},
    {"one two\x01\x1bOcx", "onex two", "> onex two", 0, 6},
    // Erasing.
    {"abc\x7f", "ab", "> ab", 0, 4},
    {"abc\x08", "ab", "> ab", 0, 4},
    {"\x7f", "", ">", 0, 2},
    {"abc\x01\x7f", "abc", "> abc", 0, 2},
    {"abc\x01\x1b[3~", "bc", "> bc", 0, 2},
    {"abc\x01\x04", "bc", "> bc", 0, 2},
    {"abc\x04", "abc", "> abc", 0, 5},
    {"abc\x1b[3~", "abc", "> abc", 0, 5},
    {"abc" LEFT "\x0b", "ab", "> ab", 0, 4},
    {"abc" LEFT "\x15", "c", "> c", 0, 2},
    {"one two-six \x17", "one ", "> one", 0, 6},
    {"one  two" LEFT "\x17", "one  o", "> one  o", 0, 7},
    {"one two-six\x1b\x7f", "one two-", "> one two-", 0, 10},
    {"one two-six\x1b\x08", "one two-", "> one two-", 0, 10},
    {"one two\x01\033d", " two", ">  two", 0, 2},
    {"one two\x01\x1b[3;5~", " two", ">  two", 0, 2},
    // Characters are whole, and as wide as they are.
    {"\xc3\251b\x7f\x7f", "", ">", 0, 2},
    {"xe" ACUTE "\x7f", "x", "> x", 0, 3},
    {"xe" ACUTE "y" LEFT LEFT "z", "xze" ACUTE "y", "> xze" ACUTE "y", 0, 4},
    {HAN HAN, HAN HAN, "> " HAN HAN, 0, 6},
    {HAN HAN LEFT "x", HAN "x" HAN, "> " HAN "x" HAN, 0, 5},
    {HAN HAN "\x7f", HAN, "> " HAN, 0, 4},
    {"a" SMILE "\x7f", "a", "> a", 0, 3},
    {"a" WOMAN_AND_GIRL "\x7f", "a", "> a", 0, 3},
    {"a" BROWN_HAND "\x7f", "a", "> a", 0, 3},
    {FLAG_DE FLAG_DE "\x7f", FLAG_DE, "> " FLAG_DE, 0, 4},
    {"\377a\x80", "\377a\x80", "> " SIGN "a" SIGN, 0, 5},
    {"\346\274a", "\346\274a", "> " SIGN SIGN "a", 0, 5},
    {"\xe6\xbc\177a", "a", "> a", 0, 3},
    {"\xc2\233a", "\xc2\233a", "> " SIGN "a", 0, 4},  // a control character of 8 bits is not sent to a terminal
    {"a\tb", "a\tb", "> a    b", 0, 8},
    // What is no key that means something here leaves no trace.
    {"a\x1b[15~\x1b[5~\x1bOP\x1b[[A\x1b[I\x1b[<0;3;4M\x1b[?1;2c\x1b[200;1xb\x1b\x1b[Dc", "acb", "> acb", 0, 4},
    {"a\x1a\x13\x11\034b", "ab", "> ab", 0, 4},
    {"a\x1b[1\001b", "ba", "> ba", 0, 3},
    // Wider than the window: 18 columns behind the mark, then 20 in a row.
    {"123456789012345678", "123456789012345678", "> 123456789012345678", 1, 0},
    {"1234567890123456789", "1234567890123456789", "> 123456789012345678\n9", 1, 1},
    {"12345678901234567" HAN "a", "12345678901234567" HAN "a", "> 12345678901234567\n" HAN "a", 1, 3},
    {"1234567890123456789" LEFT LEFT "x", "12345678901234567x89", "> 12345678901234567x\n89", 1, 0},
    {"1234567890123456789\x7f\x7f", "12345678901234567", "> 12345678901234567", 0, 19},
    {"123456789012345678" ACUTE, "123456789012345678" ACUTE, "> 123456789012345678" ACUTE, 1, 0},
    {"12345678901234567890\x01x", "x12345678901234567890", "> x12345678901234567\n890", 0, 3},
    {"12345678901234567\t.", "12345678901234567\t.", "> 12345678901234567\n    .", 1, 5},
    // More than one line: behind a backslash, with Alt-Enter, pasted.
    {"one\\\rtwo", "one\ntwo", "> one\n... two", 1, 7},
    {"one\\\ntwo", "one\ntwo", "> one\n... two", 1, 7},
    {"one\x1b\rtwo", "one\ntwo", "> one\n... two", 1, 7},
    {PASTE "one\rtwo\r\nsix\nten" PASTED, "one\ntwo\nsix\nten", "> one\n... two\n... six\n... ten", 3, 7},
    {PASTE "a\x03\x04\x15\x7f\x1b[A\x1b[3~\tb" PASTED "c", "a\tbc", "> a    bc", 0, 9},
    {"xy" LEFT PASTE "1\r\r2" PASTED, "x1\n\n2y", "> x1\n...\n... 2y", 2, 5},
    {PASTE "one\\" PASTED "\rtwo", "one\ntwo", "> one\n... two", 1, 7},
    {"one\\\rtwo\x01x", "one\nxtwo", "> one\n... xtwo", 1, 5},
    {"one\\\rtwo\x15", "one\n", "> one\n...", 1, 4},
    {"one\\\rtwo\x01\x7f", "onetwo", "> onetwo", 0, 5},
    {"one\\\rtwo" UP "x", "onex\ntwo", "> onex\n... two", 0, 6},
    {"one\\\rtwo" LEFT UP "x" DOWN "y", "onxe\ntwoy", "> onxe\n... twoy", 1, 8},
    {"o\\\rtwo" UP "x" DOWN "y", "ox\ntwyo", "> ox\n... twyo", 1, 7},
    {"one\\\rtwo" UP "\x0b" DOWN "x", "one\ntwox", "> one\n... twox", 1, 8},
    {"123456789012345678\\\rx", "123456789012345678\nx", "> 123456789012345678\n... x", 1, 5},
};

}  // namespace

TEST(keys_make_texts_and_screens) {
  for (const Row& row : ROWS) {
    for (const bool slowly : {false, true}) {
      Typed typed;
      const LineEditor::Event event = slowly ? typed.type_slowly(row.keys) : typed.type(row.keys);
      CHECK(event == LineEditor::Event::none);
      CHECK_EQ(typed.text(), row.text);
      CHECK_EQ(typed.screen.text(), row.screen);
      CHECK_EQ(typed.screen.y, row.y);
      CHECK_EQ(typed.screen.x, row.x);
    }
  }
}

TEST(what_ends_a_message) {
  struct End {
    const char* keys;
    LineEditor::Event event;
    i64 used;
  };
  const End ends[] = {
      {"hello\rmore", LineEditor::Event::message, 6},
      {"hello\nmore", LineEditor::Event::message, 6},
      {"\r", LineEditor::Event::message, 1},
      {"\x04", LineEditor::Event::end, 1},
      {"a\x7f\x04", LineEditor::Event::end, 3},
      {"abc\003d", LineEditor::Event::interrupt, 4},
      {"\x03", LineEditor::Event::interrupt, 1},
      {"a\\\r\r", LineEditor::Event::message, 4},
      {PASTE "a\x03\x03\r", LineEditor::Event::interrupt, 9},
  };
  for (const End& end : ends) {
    Typed typed;
    CHECK(typed.type(end.keys) == end.event);
    CHECK_EQ(typed.used, end.used);
  }
  Typed typed;
  CHECK(typed.type("ab" LEFT "\r") == LineEditor::Event::message);
  typed.editor.leave("^C");
  CHECK_EQ(typed.screen.text(), std::string("> ab^C"));
  CHECK_EQ(typed.screen.y, 1);
  CHECK_EQ(typed.screen.x, 0);
}

TEST(what_was_typed_before_comes_back) {
  Typed typed(40, 30);
  for (const char* said : {"one", "two", "two", "a\\\rb"})
    typed.say(said);
  CHECK_EQ(typed.editor.history().count(), i64{3});
  struct Step {
    const char *keys, *text;
  };
  // Changed entries stay changed until something is said.
  const Step steps[] = {{"new", "new"},  {UP, "a\nb"},       {UP, "a\nb"},   {UP, "two"},   {"x", "twox"}, {UP, "one"},
                        {UP, "one"},     {"\x0e", "twox"},   {DOWN, "a\nb"}, {DOWN, "new"}, {DOWN, "new"}, {"\x10", "a\nb"},
                        {UP UP, "twox"}, {"\x7f\x7f", "tw"}, {UP, "one"},    {DOWN, "tw"}};
  for (const Step& step : steps) {
    typed.type(step.keys);
    CHECK_EQ(typed.text(), step.text);
  }
  CHECK_EQ(typed.screen.bells, 2);
  typed.say("");
  for (const Step& step : {Step{UP, "tw"}, Step{UP, "a\nb"}, Step{UP UP, "two"}, Step{UP, "one"}}) {
    typed.type(step.keys);
    CHECK_EQ(typed.text(), step.text);
  }
}

// Texts that do not fit any more are forgotten from the oldest on; edits that do not fit keep one where one is.
TEST(memory_is_bounded) {
  Typed typed(40, 30);
  const i64 most = Typed::LONGEST;
  const std::string longest(static_cast<size_t>(most), 'x');
  CHECK(typed.type(longest) == LineEditor::Event::none);
  CHECK_EQ(typed.screen.bells, 0);
  CHECK(typed.type("yz\r") == LineEditor::Event::too_long);
  CHECK_EQ(typed.screen.bells, 1);
  CHECK_EQ(typed.text(), longest);
  CHECK(typed.type("\r") == LineEditor::Event::message);  // what there is
  CHECK_EQ(typed.editor.history().count(), i64{0});       // no place for it and its end
  typed.editor.leave();
  typed.editor.begin({40, 30});
  for (char c = 'a'; c <= 'j'; c++)
    typed.say(std::string(39, c));
  CHECK_EQ(typed.editor.history().count(), i64{5});
  typed.type(UP UP UP UP UP UP UP);
  CHECK_EQ(typed.text(), std::string(39, 'f'));
  for (int i = 0; i < 4; i++)
    typed.type(std::string(150, '1') + DOWN);  // one of these and its entry have a place
  CHECK_EQ(typed.text().substr(0, 40), std::string(39, 'g') + "1");
}

TEST(a_history_file_keeps_lines_together) {
  char entries[64], edits[64];
  History history({entries, sizeof entries}, {edits, sizeof edits});
  history.add_lines("one\n\na\\\nb\nback\\\\\nslash\nlast");
  const char* const expected[] = {"one", "a\nb", "back\\\nslash", "last"};
  CHECK_EQ(history.count(), i64{4});
  for (i64 i = 0; i < 4; i++)
    CHECK(history.entry(i) == Text(expected[i]));
  CHECK_EQ(history.entry(4).size, i64{0});
}

// A message that is higher than the window scrolls in it, and what stands above it stays until it must go.
TEST(a_message_higher_than_the_window) {
  Typed typed(20, 4);
  typed.type(PASTE "1\n2\n3\n4\n5\n6" PASTED);
  CHECK_EQ(typed.screen.text(), std::string("... 3\n... 4\n... 5\n... 6"));
  typed.type(UP UP UP UP);
  CHECK_EQ(typed.screen.text(), std::string("... 2\n... 3\n... 4\n... 5"));
  CHECK_EQ(typed.screen.y, 0);
  typed.type(UP "x");
  CHECK_EQ(typed.screen.text(), std::string("> 1x\n... 2\n... 3\n... 4"));
  CHECK(typed.type("\r") == LineEditor::Event::message);
  typed.editor.leave();
  CHECK_EQ(typed.screen.text(), std::string("... 4\n... 5\n... 6"));
  CHECK_EQ(typed.text(), std::string("1x\n2\n3\n4\n5\n6"));
}

TEST(another_window_size_is_drawn_again) {
  struct Size {
    i32 columns, rows;
    const char* screen;
    i32 y, x;
  };
  const Size sizes[] = {{10, 8, "before\n> 12345678\n9abcd", 2, 5},
                        {30, 8, "before\n> 123456789abcd", 1, 15},
                        {8, 2, "789abcd", 1, 7},
                        {3, 8, nullptr, 0, 0}};  // drawn for 8 columns: the terminal makes of it what it can
  for (const Size& size : sizes) {
    Screen screen(20, 8);
    std::vector<char> memory(400);
    LineEditor editor(
        {memory.data(), 400}, [](void* context, Text bytes) { static_cast<Screen*>(context)->feed(bytes); }, &screen);
    screen.feed("before\r\n");
    editor.begin({20, 8});
    i64 used;
    editor.take("123456789abcd", &used);
    // As a terminal that cuts rows; all that is seen fits here.
    for (auto& row : screen.cells)
      row.resize(static_cast<size_t>(size.columns));
    screen.columns = size.columns;
    while (screen.rows > size.rows) {
      if (screen.y == screen.rows - 1 || screen.rows - size.rows <= screen.y) {
        screen.cells.erase(screen.cells.begin());
        screen.y--;
      } else {
        screen.cells.pop_back();
      }
      screen.rows--;
    }
    screen.y = std::max(screen.y, 0);
    screen.x = std::min(screen.x, size.columns - 1);
    editor.resize({size.columns, size.rows});
    if (!size.screen) continue;
    CHECK(screen.text().find(size.screen) != std::string::npos);
    CHECK_EQ(screen.x, size.x);
  }
}

TEST(control_l_clears_the_screen) {
  Typed typed;
  typed.say("before");
  typed.type("one\\\rtwo" LEFT "\x0c");
  CHECK_EQ(typed.screen.text(), std::string("> one\n... two"));
  CHECK_EQ(typed.screen.y, 1);
  CHECK_EQ(typed.screen.x, 6);
}

// A slow line gets one byte for one as long as nothing but the end changes.
TEST(typing_at_the_end_sends_what_is_typed) {
  std::vector<char> memory(400);
  std::string sent;
  LineEditor editor(
      {memory.data(), 400},
      [](void* context, Text bytes) {
        static_cast<std::string*>(context)->append(bytes.data, static_cast<size_t>(bytes.size));
      },
      &sent);
  editor.begin({20, 8});
  sent.clear();
  i64 used;
  for (const char* key : {"a", "b", HAN, ACUTE, "c"})
    editor.take(key, &used);
  CHECK_EQ(sent, std::string("ab" HAN ACUTE "c"));
}

// Whatever keys come, the screen is the text: a fresh drawing of it shows the same.
TEST(any_keys_leave_the_screen_right) {
  const char* const keys[] = {"a",      "b ",    HAN,     SMILE,   ("e" ACUTE), LEFT,         LEFT,      RIGHT,
                              UP,       DOWN,    "\x7f",  "\x04",  "\x17",      "\x01",       "\x05",    "\t",
                              "\x1b\r", "\033b", "\033d", FLAG_DE, "\xff",      "word word ", "\x1b[3~", "\x0b"};
  u32 random = 1;
  for (int round = 0; round < 200; round++) {
    Typed typed(12, 30);
    for (int i = 0; i < 60; i++) {
      random = random * 1664525 + 1013904223;
      typed.type(keys[(random >> 16) % std::size(keys)]);
      if (typed.editor.text().size == 0) continue;  // Ctrl-D would end
      Screen shown = typed.screen;
      typed.editor.resize({12, 30});
      CHECK_EQ(shown.text(), typed.screen.text());
      CHECK_EQ(shown.y, typed.screen.y);
      CHECK_EQ(shown.x, typed.screen.x);
      CHECK(utf8_length(typed.editor.text().data, typed.editor.text().size) != 0);
    }
  }
}
