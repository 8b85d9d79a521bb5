// A message that is typed: bytes of keys come in, the screen's bytes go out, and what was typed is a text of one or more lines.
// It knows no terminal: whoever has one reads keys, gives them to `take`, and writes what the sink gets. Memory is a block of a
// fixed size.
//
// Keys: arrows, Home, End, Delete, Backspace; with Ctrl or Alt by words (Alt-B, Alt-F, Alt-D and Alt-Backspace too); Ctrl-A, B, D,
// E, F, H, K, L, N, P, U, W as in a shell. Enter ends the message, behind a backslash it begins a further line of it, as Alt-Enter
// does. What is pasted between the marks of bracketed paste is text, its line feeds included; Ctrl-C twice is the way out where the
// second mark does not come.
#pragma once
#include "cli/history.h"
#include "cli/line_text.h"
#include "platform/terminal.h"

namespace edgellm {

class LineEditor {
 public:
  enum class Event : u8 {
    none,      // more keys are wanted
    message,   // Enter: text() is what was typed, and is in the history
    too_long,  // Enter, but not all of it had a place
    end,       // Ctrl-D where nothing is typed
    interrupt  // Ctrl-C
  };
  using Sink = void (*)(void* context, Text bytes);

  // For messages of at most `message_bytes`, and a history of as much.
  static constexpr i64 memory_bytes(i64 message_bytes) { return 4 * message_bytes; }
  LineEditor(Span<char> memory, Sink sink, void* context);

  // A new, empty message, shown from the start of the cursor's row on.
  void begin(WindowSize window);

  // Takes keys until something happens or they are used up, and shows what became of them. *used: how many it took.
  Event take(Text keys, i64* used);

  // Shows the message that there is, from the start of the cursor's row on.
  void go_on(WindowSize window);

  // Draws it again, where it is.
  void resize(WindowSize window);

  // Puts the cursor behind the message and a last word, on a row of its own.
  void leave(Text word = {});

  Text text() const { return {text_.data, size_}; }
  History& history() { return history_; }
  bool remembered() const { return remembered_; }  // the message was another than the one before it

 private:
  enum class State : u8 { plain, escape, parameters, letter, console };
  struct Shown {
    i64 row = 0, rows = 1;  // of the cursor, of all
    i32 column = 0;
  };

  Event take_byte(u8 c);
  Event take_control(u8 c);
  Event enter();
  void take_escaped(u8 c);
  void take_parameters(u8 c);
  void take_named(u8 c);
  void take_numbered();
  void take_part(u8 c);

  void insert(Text bytes);
  void erase(i64 from, i64 to);
  void move(i64 to);
  void rise(i64 lines);
  void recall(i64 index);

  void show();
  bool show_appended();
  void draw();
  Shown walk(i64 first, i64 count, bool visible);
  void up(i64 rows);
  void put(Text bytes);
  void put_number(Text before, i64 number, char after);
  void flush();

  Span<char> text_;
  i64 size_ = 0;
  i64 cursor_ = 0;
  History history_;
  i64 entry_ = 0;  // of the history, that is edited
  bool remembered_ = false;
  bool too_long_ = false;

  State state_ = State::plain;
  i64 numbers_[2] = {};  // of an escape sequence
  i32 number_ = 0;
  bool pasting_ = false;
  char last_pasted_ = 0;
  char part_[4] = {};  // a character whose last bytes have not come
  i32 part_size_ = 0;

  WindowSize window_ = {80, 24};
  Shown shown_;         // as it is on the screen
  i64 top_ = 0;         // the row of the message at the top of what is drawn
  i64 drawn_ = 0;       // bytes of the text that are on the screen
  bool stale_ = false;  // more has changed than that some came at the end
  Sink sink_;
  void* context_;
  char out_[512];
  i32 out_size_ = 0;
};

}  // namespace edgellm
