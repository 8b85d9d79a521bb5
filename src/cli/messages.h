// The messages of a conversation: lines of standard input, or what somebody types at a terminal.
#pragma once
#include "cli/line_editor.h"
#include "platform/console.h"

namespace edgellm {

enum class NextMessage : u8 { message, end, interrupted, too_long, failed };

// Lines as they come, joined where one ends with a backslash.
class ReadMessages {
 public:
  explicit ReadMessages(Span<char> buffer) : buffer_(buffer) {}

  // `message` stays until the next call.
  NextMessage next(Text* message);

 private:
  NextMessage read_more();

  Span<char> buffer_;
  i64 start_ = 0;  // what was read and not taken is [start, end)
  i64 end_ = 0;
};

// What is typed, after open_terminal. Keys are taken while a message is typed; in between the terminal is as it was.
class TypedMessages {
 public:
  // memory: LineEditor::memory_bytes.
  explicit TypedMessages(Span<char> memory) : memory_(memory), editor_(memory, show, nullptr) {}

  // Takes the end of what the file holds into the history, and adds to the file what is typed from then on. One that is not there is
  // made, for its owner alone. `inputs` are other files of this process. Before the first message.
  Status open_history(const char* path, Span<const char* const> inputs);

  NextMessage next(Text* message);

 private:
  static void show(void*, Text bytes) { note(bytes); }
  NextMessage edit(Text* message);
  NextMessage read_keys();
  void keep(Text message);

  Span<char> memory_;
  LineEditor editor_;
  char keys_[1024];
  i64 start_ = 0;  // of those that were read and not taken, [start, end)
  i64 end_ = 0;
  bool typed_ahead_ = false;  // what is read next was typed before keys came one by one
  i32 history_ = -1;          // the file
};

}  // namespace edgellm
