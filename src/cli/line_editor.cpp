#include "cli/line_editor.h"

#include <string.h>

#include "base/format.h"
#include "text/unicode.h"

namespace edgellm {

constexpr Text FIRST_MARK = "> ", NEXT_MARK = "... ";
constexpr i32 LEAST_COLUMNS = 8;  // a window with fewer is drawn as if it had so many
constexpr char ESCAPE = 0x1b, DELETE = 0x7f;

static constexpr u8 control(char letter) {
  return static_cast<u8>(letter - '@');
}

LineEditor::LineEditor(Span<char> memory, Sink sink, void* context)
    : text_(memory.slice(0, memory.count / 4)),
      history_(memory.slice(memory.count / 4, memory.count / 4), memory.slice(memory.count / 2, memory.count / 2)),
      sink_(sink), context_(context) {}

void LineEditor::begin(WindowSize window) {
  size_ = cursor_ = 0;
  entry_ = history_.count();
  history_.forget_edits();
  too_long_ = false;
  go_on(window);
}

void LineEditor::go_on(WindowSize window) {
  shown_ = {};
  top_ = 0;
  resize(window);
}

// --- Keys ----------------------------------------------------------------------------------------------------------------

LineEditor::Event LineEditor::take(Text keys, i64* used) {
  Event event = Event::none;
  i64 at = 0;
  while (at < keys.size && event == Event::none)
    event = take_byte(static_cast<u8>(keys[at++]));
  *used = at;
  show();
  return event;
}

LineEditor::Event LineEditor::take_byte(u8 c) {
  if (c == ESCAPE) {
    state_ = State::escape;
    return Event::none;
  }
  const State state = state_;
  if (c < ' ') state_ = State::plain;  // ends any sequence
  switch (c < ' ' && state != State::escape ? State::plain : state) {
    case State::escape:
      take_escaped(c);
      return Event::none;
    case State::parameters:
      take_parameters(c);
      return Event::none;
    case State::letter:
      take_named(c);
      return Event::none;
    case State::console:
      state_ = State::plain;
      return Event::none;
    default:
      break;
  }
  if (c >= ' ' && c != static_cast<u8>(DELETE)) {
    take_part(c);
    last_pasted_ = 0;
    return Event::none;
  }
  part_size_ = 0;  // what was begun will not be ended
  if (!pasting_) return take_control(c);
  if (c == control('C') && last_pasted_ == static_cast<char>(c)) {  // the end of what was pasted did not come
    pasting_ = false;
    return Event::interrupt;
  }
  const bool line_feed = c == '\r' || (c == '\n' && last_pasted_ != '\r');
  if (line_feed) insert("\n");
  if (c == '\t') insert("\t");
  last_pasted_ = static_cast<char>(c);
  return Event::none;
}

// A byte of a character, which is inserted when it is whole.
void LineEditor::take_part(u8 c) {
  part_[part_size_++] = static_cast<char>(c);
  while (part_size_ > 0) {
    const i32 length = utf8_length(part_, part_size_), bytes = length < 0 ? -length : length;
    if (bytes == 0) return;
    insert({part_, bytes});
    part_size_ -= bytes;
    memmove(part_, part_ + bytes, static_cast<size_t>(part_size_));
  }
}

LineEditor::Event LineEditor::take_control(u8 c) {
  const Text all = text();
  switch (c) {
    case '\r':
    case '\n':
      return enter();
    case '\t':
      insert("\t");
      break;
    case control('C'):
      return Event::interrupt;
    case control('D'):
      if (size_ == 0) return Event::end;
      if (cursor_ < size_) erase(cursor_, character_end(all, cursor_));
      break;
    case control('H'):
    case DELETE:
      erase(character_before(all, cursor_), cursor_);
      break;
    case control('W'):
      erase(blank_before(all, cursor_), cursor_);
      break;
    case control('U'):
      erase(line_start(all, cursor_), cursor_);
      break;
    case control('K'):
      erase(cursor_, line_end(all, cursor_));
      break;
    case control('A'):
      move(line_start(all, cursor_));
      break;
    case control('E'):
      move(line_end(all, cursor_));
      break;
    case control('B'):
      move(character_before(all, cursor_));
      break;
    case control('F'):
      if (cursor_ < size_) move(character_end(all, cursor_));
      break;
    case control('P'):
      rise(1);
      break;
    case control('N'):
      rise(-1);
      break;
    case control('L'):
      put("\x1b[H\x1b[2J");
      shown_.row = top_;
      stale_ = true;
      break;
    default:
      put("\a");  // control('Z') among them: a sealed process cannot stop itself
  }
  return Event::none;
}

LineEditor::Event LineEditor::enter() {
  if (size_ > 0 && text_[size_ - 1] == '\\') {
    text_[size_ - 1] = '\n';
    cursor_ = size_;
    stale_ = true;
    return Event::none;
  }
  if (too_long_) {
    too_long_ = false;
    return Event::too_long;
  }
  remembered_ = history_.add(text());
  return Event::message;
}

void LineEditor::take_escaped(u8 c) {
  state_ = State::plain;
  if (c == '[' || c == 'O') {
    state_ = c == '[' ? State::parameters : State::letter;
    numbers_[0] = numbers_[1] = 0;
    number_ = 0;
    return;
  }
  if (pasting_) return;
  const Text all = text();
  if (c == 'b') move(word_start(all, cursor_));
  if (c == 'f') move(word_end(all, cursor_));
  if (c == 'd') erase(cursor_, word_end(all, cursor_));
  if (c == control('H') || c == DELETE) erase(word_start(all, cursor_), cursor_);
  if (c == '\r' || c == '\n') insert("\n");
}

// ESC [ numbers letter, or ESC O number letter: of the numbers the first may be a name, the second says which keys are held.
void LineEditor::take_parameters(u8 c) {
  if (c >= '0' && c <= '9') {
    i64& number = numbers_[number_];
    number = min<i64>(number * 10 + (c - '0'), 1000);
  } else if (c == ';') {
    number_ = 1;
  } else if (c == '[') {
    state_ = State::console;  // ESC [ [ letter: F1 to F5 of Linux's console
  } else if (c >= '@') {
    take_named(c);
  }
}

void LineEditor::take_named(u8 c) {
  if (c >= '0' && c <= '9') return take_parameters(c);
  const bool after_o = state_ == State::letter;
  state_ = State::plain;
  if (c == '~') return take_numbered();
  if (pasting_) return;
  const Text all = text();
  const bool words = (after_o ? numbers_[0] : numbers_[1]) > 2;  // more than Shift is held
  if (c == 'A') rise(1);
  if (c == 'B') rise(-1);
  if (c == 'H') move(line_start(all, cursor_));
  if (c == 'F') move(line_end(all, cursor_));
  if (c == 'C' && cursor_ < size_) move(words ? word_end(all, cursor_) : character_end(all, cursor_));
  if (c == 'D') move(words ? word_start(all, cursor_) : character_before(all, cursor_));
  if (c == 'c') move(word_end(all, cursor_));  // with Ctrl, of rxvt
  if (c == 'd') move(word_start(all, cursor_));
}

void LineEditor::take_numbered() {
  const Text all = text();
  switch (numbers_[0]) {
    case 200:
    case 201:
      pasting_ = numbers_[0] == 200;
      last_pasted_ = 0;
      break;
    case 1:
    case 7:
      if (!pasting_) move(line_start(all, cursor_));
      break;
    case 4:
    case 8:
      if (!pasting_) move(line_end(all, cursor_));
      break;
    case 3:
      if (!pasting_ && cursor_ < size_)
        erase(cursor_, numbers_[1] > 2 ? word_end(all, cursor_) : character_end(all, cursor_));
      break;
    default:
      break;
  }
}

// --- The text ------------------------------------------------------------------------------------------------------------

void LineEditor::insert(Text bytes) {
  if (text_.count - size_ < bytes.size) {
    if (!too_long_) put("\a");
    too_long_ = true;
    return;
  }
  stale_ = stale_ || cursor_ < size_;
  memmove(text_.data + cursor_ + bytes.size, text_.data + cursor_, static_cast<size_t>(size_ - cursor_));
  memcpy(text_.data + cursor_, bytes.data, static_cast<size_t>(bytes.size));
  size_ += bytes.size;
  cursor_ += bytes.size;
}

void LineEditor::erase(i64 from, i64 to) {
  if (from == to) return;
  memmove(text_.data + from, text_.data + to, static_cast<size_t>(size_ - to));
  size_ -= to - from;
  cursor_ = from;
  too_long_ = false;
  stale_ = true;
}

void LineEditor::move(i64 to) {
  stale_ = stale_ || to != cursor_;
  cursor_ = to;
}

// Up by one line (1) or down (-1): within the message, then to what was typed before or after it.
void LineEditor::rise(i64 lines) {
  const Text all = text();
  const i64 start = line_start(all, cursor_), end = line_end(all, cursor_);
  if (lines > 0 ? start == 0 : end == size_) return recall(entry_ - lines);
  i64 characters = 0;
  for (i64 at = start; at < cursor_; at = character_end(all, at))
    characters++;
  i64 at = lines > 0 ? line_start(all, start - 1) : end + 1;
  for (; characters > 0 && at < size_ && text_[at] != '\n'; characters--)
    at = character_end(all, at);
  move(at);
}

void LineEditor::recall(i64 index) {
  if (index < 0 || index > history_.count() || !history_.keep_edit(entry_, text())) return put("\a");
  entry_ = index;
  const Text entry = history_.entry(index);
  size_ = cursor_ = min(entry.size, text_.count);
  memcpy(text_.data, entry.data, static_cast<size_t>(size_));
  too_long_ = false;
  stale_ = true;
}

// --- The screen ----------------------------------------------------------------------------------------------------------

// Shells draw what is typed at the end as it comes, and so does this: a screen that is far away gets one character for one.
bool LineEditor::show_appended() {
  if (stale_ || cursor_ != size_) return false;
  i32 column = shown_.column;
  for (i64 at = drawn_; at < size_;) {
    const Glyph glyph = glyph_at(text(), at);
    const bool behind_edge = column == 0 && glyph.columns == 0;  // a mark of the last character of the row above
    if (glyph.line_feed || behind_edge || column + glyph.columns >= window_.columns) return false;
    column += glyph.columns;
    at += glyph.bytes;
  }
  for (; drawn_ < size_; drawn_ += glyph_at(text(), drawn_).bytes)
    put(glyph_at(text(), drawn_).shown);
  shown_.column = column;
  return true;
}

void LineEditor::show() {
  if (!show_appended()) draw();
  flush();
}

// All that the window has a place for, the cursor's row in any case. The rows are ended here and not by the terminal, so that those
// above the cursor can be counted whatever it does at its right edge.
void LineEditor::draw() {
  put("\r");
  up(shown_.row - top_);
  put("\x1b[J");
  const Shown next = walk(0, 0, false);
  const i64 height = max(window_.rows, 1);
  top_ = max(min(top_, next.row), next.row - height + 1);
  top_ = min(top_, max<i64>(next.rows - height, 0));
  walk(top_, height, true);
  if (cursor_ < size_) {
    up(min(next.rows, top_ + height) - 1 - next.row);
    put("\r");
    if (next.column > 0) put_number("\x1b[", next.column, 'C');
  }
  shown_ = next;
  drawn_ = size_;
  stale_ = false;
}

// Where everything is in a window of this width; what lies in rows [first, first + count) is drawn.
LineEditor::Shown LineEditor::walk(i64 first, i64 count, bool visible) {
  Shown shown;
  i64 row = 0;
  i32 column = 0;
  const auto write_here = [&](Text bytes) {
    if (visible && row >= first && row < first + count) put(bytes);
  };
  const auto begin_row = [&](Text mark) {
    row++;
    if (row > first) write_here("\r\n");
    write_here(mark);
    column = static_cast<i32>(mark.size);
  };
  write_here(FIRST_MARK);
  column = static_cast<i32>(FIRST_MARK.size);
  for (i64 at = 0;;) {
    const Glyph glyph = at < size_ ? glyph_at(text(), at) : Glyph();
    if (at == size_ ? column == window_.columns : column + glyph.columns > window_.columns) begin_row("");
    if (at == cursor_) {
      shown.row = row;
      shown.column = min(column, window_.columns - 1);
    }
    if (at == size_) break;
    if (glyph.line_feed) {
      begin_row(NEXT_MARK);
    } else {
      write_here(glyph.shown);
      column += glyph.columns;
    }
    at += glyph.bytes;
  }
  shown.rows = row + 1;
  return shown;
}

// Rows that a narrower window has made longer than itself may be two now, or cut: terminals differ. They are counted as one, so that
// what stands above the message is never overwritten; at worst some of it stays to be seen twice.
void LineEditor::resize(WindowSize window) {
  window_ = {max(window.columns, LEAST_COLUMNS), window.rows};
  draw();
  flush();
}

void LineEditor::leave(Text word) {
  move(size_);
  if (stale_) draw();
  put(word);
  put("\r\n");
  flush();
}

void LineEditor::up(i64 rows) {
  if (rows > 0) put_number("\x1b[", rows, 'A');
}

void LineEditor::put_number(Text before, i64 number, char after) {
  char words[32];
  Writer writer(words);
  put(write(writer, before, number, after).text());
}

void LineEditor::put(Text bytes) {
  constexpr i64 PLACE = sizeof out_;
  for (i64 n; bytes.size > 0; bytes = bytes.from(n)) {
    if (out_size_ == PLACE) flush();
    n = min(bytes.size, PLACE - out_size_);
    memcpy(out_ + out_size_, bytes.data, static_cast<size_t>(n));
    out_size_ += static_cast<i32>(n);
  }
}

void LineEditor::flush() {
  if (out_size_ > 0) sink_(context_, {out_, out_size_});
  out_size_ = 0;
}

}  // namespace edgellm
