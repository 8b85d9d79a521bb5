// edgellm chat MODEL: a conversation, one line for each message. Answers go to stdout and nothing else does, each with a line
// feed at its end and an empty line before the next.
#include "engine/conversation.h"

#include <errno.h>
#include <string.h>

#include "cli/command.h"
#include "platform/seed.h"
#include "platform/signals.h"

namespace edgellm {

namespace {

constexpr i32 ANSWER_TOKENS = 512;
constexpr const char* NO_SYSTEM = "the chat template has no place for a system text";

// Messages from standard input: lines, joined where one ends with a backslash.
class Messages {
 public:
  enum class Next { message, end, interrupted, too_long, failed };

  explicit Messages(Span<char> buffer) : buffer_(buffer) {}

  // `message` stays until the next call.
  Next next(Text* message);

 private:
  Next read_more();

  Span<char> buffer_;
  i64 start_ = 0;  // what was read and not taken is [start, end)
  i64 end_ = 0;
};

// `message`: there is more than before.
Messages::Next Messages::read_more() {
  if (end_ == buffer_.count) return Next::too_long;
  for (;;) {
    if (!wait_to_read(STDIN)) return Next::interrupted;
    i64 n = read_some(STDIN, buffer_.data + end_, buffer_.count - end_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Next::failed;
    end_ += n;
    return n ? Next::message : Next::end;
  }
}

// A line may end as it does on Windows.
Text without_return(Text line) {
  return line.size && line[line.size - 1] == '\r' ? line.slice(0, line.size - 1) : line;
}

Messages::Next Messages::next(Text* message) {
  char* line = buffer_.data;
  end_ -= start_;
  memmove(line, line + start_, static_cast<size_t>(end_));
  start_ = 0;
  for (i64 at = 0;; at++) {
    if (at == end_) {
      Next more = read_more();
      if (more == Next::end && end_ > 0) {
        start_ = end_;
        *message = without_return({line, end_});
        return Next::message;
      }
      if (more != Next::message) return more;
    }
    if (line[at] != '\n') continue;
    Text said = without_return({line, at});
    if (said.size == 0 || said[said.size - 1] != '\\') {
      start_ = at + 1;
      *message = said;
      return Next::message;
    }
    i64 joined = said.size - 1;
    memmove(line + joined, line + at, static_cast<size_t>(end_ - at));
    end_ -= at - joined;
    at = joined;
  }
}

bool blank(Text text) {
  for (i64 i = 0; i < text.size; i++) {
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n') return false;
  }
  return true;
}

// An answer to stdout, without the white space that it starts with.
struct Answer {
  char last = 0;

  static bool sink(void* context, Text text) {
    Answer& answer = *static_cast<Answer*>(context);
    while (!answer.last && text.size && (text[0] == ' ' || text[0] == '\n'))
      text = text.from(1);
    if (text.size == 0) return true;
    answer.last = text[text.size - 1];
    return print(text);
  }
};

struct ChatLoop {
  const Options& options;
  Messages messages;
  Conversation conversation;
  Span<char> system_buffer;
  Text system;
  bool terminal;  // somebody types
  bool over = false;
  bool sound = true;  // nothing left the session within a message
  i32 answers = 0;

  Status run();
  bool command(Text message);
  void reset();
  Status turn(Text message);
};

void ChatLoop::reset() {
  conversation.session->restart();
  sound = true;
}

// False when it is no command.
bool ChatLoop::command(Text message) {
  constexpr Text SYSTEM = "/system ";
  if (message == "/quit") {
    over = true;
  } else if (message == "/reset") {
    reset();
  } else if (message.size > SYSTEM.size && message.slice(0, SYSTEM.size) == SYSTEM) {
    if (conversation.form.system.size == 0) {
      note("note: ", NO_SYSTEM, "\n");
      return true;
    }
    system = {system_buffer.data, message.size - SYSTEM.size};
    memcpy(system_buffer.data, message.from(SYSTEM.size).data, static_cast<size_t>(system.size));
    reset();
  } else {
    return false;
  }
  return true;
}

Status ChatLoop::turn(Text message) {
  i32 before = conversation.session->position;
  Answer answer;
  Generated made;
  Status status = take_turn(conversation, system, message, options.generate, Answer::sink, &answer, &made);
  const i32 after = conversation.session->position;
  sound = (status.ok() && made.count > 0) || (sound && after == before);
  EDGELLM_TRY(status);
  if (made.ending == Ending::sink_closed) return check_output();
  if (answer.last != '\n') print("\n");
  if (terminal && made.ending == Ending::interrupted && made.count == 0) {
    note("note: the message was not read to its end and ",
         after == before ? "does not count\n" : "what was read of it stays; /reset forgets it\n");
  }
  if (made.ending == Ending::length) {
    if (made.count < options.generate.count) {
      char words[128];
      Writer writer(words);
      note("note: the context is full: /reset, or start with ", more_room(*conversation.engine, writer), "\n");
    } else {
      note("note: the answer was cut; -n allows more tokens\n");
    }
  }
  if (options.verbose) note_figures(made, after - before - max(made.count - 1, 0), options);
  if (options.generate.hash && made.count) note_hash(made.last_hash);
  return {};
}

Status ChatLoop::run() {
  while (!over) {
    if (terminal) note("> ");
    Text message;
    switch (messages.next(&message)) {
      case Messages::Next::message:
        break;
      case Messages::Next::too_long:
        return failed("a message has more than ", Conversation::TEXT_BYTES, " bytes");
      case Messages::Next::failed:
        return failed("standard input cannot be read: ", strerror(errno));
      default:
        if (terminal) note("\n");
        if (terminal && !terminated()) set_interrupted(false);  // Ctrl-C between answers is a way to say /quit
        return {};
    }
    if (blank(message) || command(message)) continue;
    if (!terminal && answers++ > 0) print("\n");
    Status status = turn(message);
    if (!check_output().ok()) return {};
    if (!status.ok() && !status.interrupted()) {
      if (!terminal) return status;
      note("edgellm: ", status.text(), "\n");
    }
    if (!interrupted()) continue;
    over = !terminal || terminated();
    if (!over) set_interrupted(false);
  }
  return {};
}

// As --template says, otherwise as the file says, otherwise plain text.
Status choose_template(const Options& options, const ModelFile& file, ChatTemplate* form) {
  bool found;
  EDGELLM_TRY(read_chat_template(file, form, &found));
  const ChatTemplate* named = find_chat_template(options.chat_template ? options.chat_template : "plain");
  if (options.chat_template || !found) *form = *named;
  if (!found && !options.chat_template) {
    note("note: ", NO_CHAT_TEMPLATE, " (--template names another)\n");
  }
  return {};
}

}  // namespace

Status chat_command(Options& options) {
  EDGELLM_TRY(check_outputs(options));
  if (!options.count_given) options.generate.count = ANSWER_TOKENS;
  options.engine.text_bytes = Conversation::TEXT_BYTES;
  SamplingOptions& sampling = options.generate.sampling;
  if (!options.seed_given) sampling.seed = draw_seed();
  Engine engine;
  EDGELLM_TRY(open_model(options, &engine));
  EDGELLM_TRY(settle_stops(options, engine));
  if (!engine.has_tokenizer) return failed(NO_TOKENIZER, "; --tokenizer FILE takes that of another model file");
  Span<u8> block;  // for the text of a turn, what was read, and the system text
  EDGELLM_TRY(take_memory(3 * Conversation::TEXT_BYTES, {.huge_pages = false, .lock = options.engine.lock}, &block));
  Span<char> buffers = {reinterpret_cast<char*>(block.data), block.count};
  ChatTemplate form;
  EDGELLM_TRY(choose_template(options, engine.file, &form));
  if (options.system && form.system.size == 0) return usage_error("--system: ", NO_SYSTEM);
  ChatLoop loop = {.options = options,
                   .messages = Messages(buffers.slice(Conversation::TEXT_BYTES, Conversation::TEXT_BYTES)),
                   .conversation = {},
                   .system_buffer = buffers.slice(2 * Conversation::TEXT_BYTES, Conversation::TEXT_BYTES),
                   .system = options.system ? Text(options.system) : Text(),
                   .terminal = is_terminal(STDIN)};
  EDGELLM_TRY(open_conversation(engine, engine.sessions[0], form, buffers.slice(0, Conversation::TEXT_BYTES),
                                &options.generate, &loop.conversation));
  StateOutput state;
  EDGELLM_TRY(open_states(options, engine, &state));
  if (!options.seed_given && sampling.temperature > 0) note("seed ", sampling.seed, "\n");
  EDGELLM_TRY(seal_as_asked(options));
  Status status = loop.run();
  if (loop.sound) {
    EDGELLM_TRY(keep_state(options, engine, state));
  } else if (options.state_save) {
    note("note: the conversation ended within a message; nothing was saved to ", options.state_save, "\n");
  }
  return status;
}

}  // namespace edgellm
