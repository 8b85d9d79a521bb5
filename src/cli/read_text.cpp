// The text that a command works on: from -i, from a file, or from standard input.
#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "platform/files.h"
#include "platform/signals.h"

namespace edgellm {

// Nothing else says how the text goes, and somebody gave something to be read. Nobody waits for a text to hear then that there is
// no such model: whoever opens it says so at once.
static bool takes_input(const Options& o) {
  if (o.model && !can_read(o.model)) return false;
  if (o.from_stdin) return true;
  const bool said = o.prompt || o.text_file || o.state_load || o.no_stdin;
  return (o.command & (RUN | TOKENIZE)) && !said && is_file_or_pipe(STDIN);
}

static void note_waiting(bool asked) {
  if (is_terminal(STDIN)) return note("note: type the text, and end it with Ctrl-D on a line of its own\n");
  note("note: waiting for the text on standard input", asked ? "" : "; with -i TEXT, -f FILE or --no-stdin it is not read",
       "\n");
}

// A line feed at the end belongs to the line and not to the text.
static Text without_line_feed(Text text) {
  if (text.size && text[text.size - 1] == '\n') {
    text.size--;
    if (text.size && text[text.size - 1] == '\r') text.size--;
  }
  return text;
}

// Standard input to its end, or to a signal.
static Status read_input(Span<char> buffer, bool asked, Text* text) {
  i64 size = 0;
  if (!ready_within(STDIN, INPUT_PATIENCE_MS)) note_waiting(asked);
  for (i64 n = 1; n != 0;) {
    if (size == buffer.count)
      return failed("standard input has more than ", buffer.count - 1, " bytes; give a file with -f");
    if (!wait_to_read(STDIN)) return check_interrupted();
    n = read_some(STDIN, buffer.data + size, buffer.count - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("standard input cannot be read: ", strerror(errno));
    size += n;
  }
  *text = without_line_feed({buffer.data, size});
  return {};
}

Status read_text(const Options& options, Text* text) {
  *text = options.prompt ? Text(options.prompt) : Text();
  if (options.text_file) {
    Span<const u8> bytes;
    MapOptions map;
    map.error = Code::failed;
    EDGELLM_TRY(map_file(options.text_file, map, &bytes));
    watch_map(bytes);
    *text = {reinterpret_cast<const char*>(bytes.data), bytes.count};
  }
  if (takes_input(options)) {
    Span<u8> block;
    EDGELLM_TRY(take_memory(STDIN_BYTES + 1, {.huge_pages = false, .lock = false}, &block));
    EDGELLM_TRY(read_input({reinterpret_cast<char*>(block.data), STDIN_BYTES + 1}, options.from_stdin, text));
  }
  return {};
}

}  // namespace edgellm
