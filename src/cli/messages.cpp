#include "cli/messages.h"

#include <errno.h>
#include <string.h>

#include "platform/destination.h"
#include "platform/files.h"
#include "platform/signals.h"

namespace edgellm {

// `message`: there is more than before.
NextMessage ReadMessages::read_more() {
  if (end_ == buffer_.count) return NextMessage::too_long;
  for (;;) {
    if (!wait_to_read(STDIN)) return NextMessage::interrupted;
    i64 n = read_some(STDIN, buffer_.data + end_, buffer_.count - end_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return NextMessage::failed;
    end_ += n;
    return n ? NextMessage::message : NextMessage::end;
  }
}

// A line may end as it does on Windows.
static Text without_return(Text line) {
  return line.size && line[line.size - 1] == '\r' ? line.slice(0, line.size - 1) : line;
}

NextMessage ReadMessages::next(Text* message) {
  char* line = buffer_.data;
  end_ -= start_;
  memmove(line, line + start_, static_cast<size_t>(end_));
  start_ = 0;
  for (i64 at = 0;; at++) {
    if (at == end_) {
      NextMessage more = read_more();
      if (more == NextMessage::end && end_ > 0) {
        start_ = end_;
        *message = without_return({line, end_});
        return NextMessage::message;
      }
      if (more != NextMessage::message) return more;
    }
    if (line[at] != '\n') continue;
    Text said = without_return({line, at});
    if (said.size == 0 || said[said.size - 1] != '\\') {
      start_ = at + 1;
      *message = said;
      return NextMessage::message;
    }
    i64 joined = said.size - 1;
    memmove(line + joined, line + at, static_cast<size_t>(end_ - at));
    end_ -= at - joined;
    at = joined;
  }
}

constexpr const char* HISTORY = "--history";

Status TypedMessages::open_history(const char* path, Span<const char* const> inputs) {
  EDGELLM_TRY(check_destination(HISTORY, path, inputs));
  EDGELLM_TRY(open_destination(HISTORY, path, 0600, &history_));
  if (!append_to_file(history_)) return failed(HISTORY, " ", path, ": ", strerror(errno));
  const i64 size = file_size(history_), most = memory_.count / 4, start = max<i64>(size - most, 0);
  const i64 bytes = read_at(history_, reinterpret_cast<u8*>(memory_.data), most, start);
  if (bytes < 0) return failed(HISTORY, " ", path, ": ", strerror(errno));
  if (memchr(memory_.data, 0, static_cast<size_t>(bytes))) {
    return usage_error(HISTORY, " ", path, ": is no list of messages; name a new file");
  }
  const Text lines = {memory_.data, bytes};
  editor_.history().add_lines(start == 0 ? lines : lines.from(min(line_end(lines, 0) + 1, bytes)));
  if (bytes > 0 && lines[bytes - 1] != '\n') output(history_, "\n");
  return {};
}

// Of a message that was typed. What cannot be written is lost, and said once.
void TypedMessages::keep(Text message) {
  if (history_ < 0) return;
  bool kept = true;
  while (message.size > 0 && kept) {
    const i64 end = line_end(message, 0);
    const bool last = end == message.size;
    kept = output(history_, message.slice(0, end), last ? "\n" : "\\\n");
    message = message.from(last ? end : end + 1);
  }
  if (kept) return;
  note("note: --history: nothing more is kept: ", strerror(errno), "\n");
  history_ = -1;
}

// `message`: there are some.
NextMessage TypedMessages::read_keys() {
  for (;;) {
    if (take_terminal_change()) {
      if (!begin_keys(&typed_ahead_)) return NextMessage::failed;
      editor_.resize(window_size());
    }
    start_ = end_ = 0;
    if (!wait_to_read(STDIN)) {
      if (terminated()) return NextMessage::interrupted;
      set_interrupted(false);  // SIGINT is Ctrl-C
      keys_[end_++] = 3;
      return NextMessage::message;
    }
    if (terminal_changed()) continue;
    end_ = read_some(STDIN, keys_, sizeof keys_);
    if (end_ < 0 && errno == EINTR) continue;
    if (end_ < 0) return NextMessage::failed;
    for (i64 i = 0; i < end_ && typed_ahead_; i++)
      keys_[i] = keys_[i] ? keys_[i] : 4;  // Ctrl-D
    typed_ahead_ = false;
    return end_ ? NextMessage::message : NextMessage::end;
  }
}

// Ctrl-C clears what was typed; where nothing is, it says how to leave, and once more leaves.
NextMessage TypedMessages::edit(Text* message) {
  editor_.begin(window_size());
  for (bool leaving = false;;) {
    if (start_ == end_) {
      const NextMessage more = read_keys();
      if (more != NextMessage::message) return more;
    }
    i64 used;
    const LineEditor::Event event = editor_.take({keys_ + start_, end_ - start_}, &used);
    start_ += used;
    if (event == LineEditor::Event::message) {
      *message = editor_.text();
      return NextMessage::message;
    }
    if (event == LineEditor::Event::end) return NextMessage::end;
    const bool empty = editor_.text().size == 0;
    if (event == LineEditor::Event::interrupt) {
      if (empty && leaving && used == 1) return NextMessage::end;
      leaving = empty;
      editor_.leave("^C");
      if (empty) note("Ctrl-C once more, Ctrl-D or /quit leaves; /help shows the commands\r\n");
      editor_.begin(window_size());
      continue;
    }
    leaving = false;
    if (event == LineEditor::Event::too_long) {
      editor_.leave();
      note("note: a message has at most ", memory_.count / 4, " bytes; Enter says what there is\r\n");
      editor_.go_on(window_size());
    }
  }
}

NextMessage TypedMessages::next(Text* message) {
  if (!begin_keys(&typed_ahead_)) return NextMessage::failed;
  NextMessage next = edit(message);
  editor_.leave();
  end_keys();
  if (next == NextMessage::message && editor_.remembered()) keep(*message);
  return next;
}

}  // namespace edgellm
