// edgellm chat MODEL: a conversation, one line for each message. Answers go to stdout and nothing else does, each with a line
// feed at its end and an empty line before the next. With a model that has a grammar and no chat template each message is a request
// of its own, and its answer that of `edgellm MODEL -i MESSAGE`.
#include "engine/conversation.h"

#include <errno.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/command.h"
#include "cli/messages.h"
#include "platform/seal.h"
#include "platform/seed.h"
#include "platform/signals.h"
#include "platform/terminal.h"

namespace edgellm {

namespace {

constexpr i32 ANSWER_TOKENS = 512;
constexpr const char* NO_SYSTEM = "the chat template has no place for a system text";
constexpr const char* ALONE =
    "the model has a grammar and no chat template, so that each message is a request of its own (--template makes a "
    "conversation)";

enum class Command : u8 { reset, system, quit, help };

struct CommandName {
  Text name;
  Command command;
};
constexpr CommandName COMMANDS[] = {{"/reset", Command::reset}, {"/system", Command::system}, {"/quit", Command::quit},
                                    {"/exit", Command::quit},   {"/bye", Command::quit},      {"/help", Command::help},
                                    {"/?", Command::help}};

bool blank(Text text) {
  for (i64 i = 0; i < text.size; i++) {
    if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n') return false;
  }
  return true;
}

// The first word, and what follows it without the white space between them.
Text first_word(Text text, Text* rest) {
  i64 end = 0;
  while (end < text.size && !blank(text.slice(end, 1)))
    end++;
  *rest = text.from(end);
  while (rest->size && blank(rest->slice(0, 1)))
    *rest = rest->from(1);
  return text.slice(0, end);
}

// A slash and letters: whoever types that means a command, and neither a path nor a comment.
bool like_command(Text word) {
  for (i64 i = 1; i < word.size; i++) {
    if ((word[i] | 0x20) < 'a' || (word[i] | 0x20) > 'z') return false;
  }
  return word.size > 1 && word[0] == '/';
}

void refuse(Text word) {
  Nearest nearest(word);
  for (const CommandName& one : COMMANDS)
    nearest.offer(one.name);
  note("note: ", word, " is no command", nearest.found() ? ": did you mean " : "", nearest.name(),
       nearest.found() ? "?" : "", " (/help shows them; a message can have a space before it)\n");
}

// An answer to stdout, without the white space that it starts with, unless `whole`.
struct Answer {
  char last = 0;
  bool whole = false;

  static bool sink(void* context, Text text) {
    Answer& answer = *static_cast<Answer*>(context);
    while (!answer.whole && !answer.last && text.size && (text[0] == ' ' || text[0] == '\n'))
      text = text.from(1);
    if (text.size == 0) return true;
    answer.last = text[text.size - 1];
    return print(text);
  }
};

struct ChatLoop {
  const Options& options;
  ReadMessages read;
  TypedMessages* typed;  // null: messages are read, or the terminal edits them
  bool alone;            // each message is a request of its own
  Conversation conversation;
  Span<char> system_buffer;
  Text system;
  bool terminal;  // somebody types
  bool over = false;
  bool sound = true;  // nothing left the session within a message
  i32 answers = 0;

  Status run();
  NextMessage next(Text* message);
  bool command(Text message);
  void obey(Command command, Text text);
  void help();
  void reset();
  Status generate(Text message, Answer* answer, Generated* made);
  Status report(const Generated& made);
  Status turn(Text message);
};

void ChatLoop::reset() {
  conversation.session->restart();
  sound = true;
}

void ChatLoop::help() {
  if (!alone) {
    note(
        "/reset         begin a new conversation\n"
        "/system TEXT   begin one with another system text\n");
  }
  note(
      "/quit          end (as /exit, /bye and Ctrl-D do)\n"
      "/help          show this\n"
      "A space before the slash makes a message of it. A line that ends with \\ goes on\n"
      "in the next.\n"
      "Ctrl-C stops an answer.\n");
  if (typed) {
    note(
        "Where a message is typed, Ctrl-C clears it, Up and Down bring back what was\n"
        "typed before, and Home, End, Ctrl-A, E, K, U, W and L edit as in a shell; Ctrl-Z\n"
        "stops nothing there.\n");
  }
}

void ChatLoop::obey(Command command, Text text) {
  switch (command) {
    case Command::quit:
      over = true;
      break;
    case Command::help:
      help();
      break;
    case Command::system:
      if (alone || conversation.form.system.size == 0) return note("note: /system: ", alone ? ALONE : NO_SYSTEM, "\n");
      system = {system_buffer.data, text.size};
      memcpy(system_buffer.data, text.data, static_cast<size_t>(text.size));
      [[fallthrough]];
    case Command::reset:
      reset();
  }
}

// False when it is a message. Through a pipe everything is that is not exactly a command: nobody is there to say it otherwise.
bool ChatLoop::command(Text message) {
  while (terminal && message.size && blank(message.from(message.size - 1)))
    message.size--;
  Text text;
  const Text word = first_word(message, &text);
  const bool pasted = line_end(message, 0) < message.size;  // of several lines only /system means what it says
  for (const CommandName& one : COMMANDS) {
    if (!(word == one.name)) continue;
    const bool takes_text = one.command == Command::system, fits = takes_text ? text.size > 0 : word.size == message.size;
    if (fits) obey(one.command, text);
    if (!fits && (pasted || !terminal)) return false;
    if (!fits) {
      note("note: ", one.name, takes_text ? " needs a text: /system Be brief." : " takes no words",
           "; to say it put a space before it\n");
    }
    return true;
  }
  if (pasted || !terminal || !like_command(word)) return false;
  refuse(word);
  return true;
}

Status ChatLoop::generate(Text message, Answer* answer, Generated* made) {
  if (!alone) return take_turn(conversation, system, message, options.generate, Answer::sink, answer, made);
  return take_request(*conversation.engine, *conversation.session, message, options.generate, Answer::sink, answer, made);
}

// What became of an answer, if that is not its own end.
Status ChatLoop::report(const Generated& made) {
  const Engine& engine = *conversation.engine;
  const Session& session = *conversation.session;
  if (alone || grammar_ends(engine)) return end_of_text(options, engine, session, made);
  if (made.ending != Ending::length) return {};
  if (!check_room(engine, i64{session.position} + 1).ok()) {
    char words[128];
    Writer writer(words);
    note("note: the context is full: /reset, or start with ", more_room(engine, writer), "\n");
  } else {
    note("note: the answer was cut; -n allows more tokens\n");
  }
  return {};
}

Status ChatLoop::turn(Text message) {
  i32 before = conversation.session->position;
  Answer answer = {.whole = alone};
  Generated made;
  Status status = generate(message, &answer, &made);
  if (alone) before = 0;
  const i32 after = conversation.session->position;
  sound = (status.ok() && made.count > 0) || (sound && after == before);
  EDGELLM_TRY(status);
  if (made.ending == Ending::sink_closed) return check_output();
  if (answer.last != '\n') print("\n");
  if (terminal && made.ending == Ending::interrupted && made.count == 0) {
    note("note: the message was not read to its end and ",
         after == before || alone ? "does not count\n" : "what was read of it stays; /reset forgets it\n");
  }
  EDGELLM_TRY(report(made));
  if (options.verbose) note_figures(made, after - before - max(made.count - 1, 0), options);
  if (options.generate.hash && made.count) note_hash(made.last_hash);
  return {};
}

NextMessage ChatLoop::next(Text* message) {
  if (typed) return typed->next(message);
  if (terminal) note("> ");
  return read.next(message);
}

Status ChatLoop::run() {
  if (terminal) note("/help shows the commands, /quit or Ctrl-D ends\n");
  while (!over) {
    Text message;
    switch (next(&message)) {
      case NextMessage::message:
        break;
      case NextMessage::too_long:
        return failed("a message has more than ", Conversation::TEXT_BYTES, " bytes");
      case NextMessage::failed:
        return failed("standard input cannot be read: ", strerror(errno));
      default:
        if (terminal && !typed) note("\n");
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

// As --template says, otherwise as the file says, otherwise plain text; but none at all (*alone) for a model with a grammar, which
// knows what it wants to be asked.
Status choose_template(const Options& options, const Engine& engine, ChatTemplate* form, bool* alone) {
  const ModelFile& file = engine.file;
  bool found;
  EDGELLM_TRY(read_chat_template(file, form, &found));
  const ChatTemplate* named = find_chat_template(options.chat_template ? options.chat_template : "plain");
  if (options.chat_template || !found) *form = *named;
  *alone = !found && !options.chat_template && engine.grammar.states() > 0;
  if (!found && !options.chat_template && !*alone) {
    note("note: ", NO_CHAT_TEMPLATE, " (--template names another)\n");
  }
  return {};
}

// What only a conversation has.
Status check_alone(const Options& options) {
  const char* const given = options.system       ? "--system"
                            : options.state_load ? "--state-load"
                            : options.state_save ? "--state-save"
                                                 : nullptr;
  return given ? usage_error(given, ": ", ALONE) : Status();
}

// With the history, if one is to be kept.
Status open_typed(const Options& options, TypedMessages* typed) {
  if (!options.history) return {};
  const char* const others[] = {options.model, options.tokenizer_file, options.state_load, options.state_save};
  return typed->open_history(options.history, {others, sizeof others / sizeof others[0]});
}

Status talk(const Options& options, Engine& engine, ChatLoop& loop) {
  StateOutput state;
  EDGELLM_TRY(open_states(options, engine, &state));
  if (loop.typed) EDGELLM_TRY(open_typed(options, loop.typed));
  const SamplingOptions& sampling = options.generate.sampling;
  if (!options.seed_given && sampling.temperature > 0) note("seed ", sampling.seed, "\n");
  EDGELLM_TRY(seal_as_asked(options, loop.typed ? u32{SEAL_TERMINAL} : 0));
  Status status = loop.run();
  if (loop.sound) {
    EDGELLM_TRY(keep_state(options, engine, state));
  } else if (options.state_save) {
    note("note: the conversation ended within a message; nothing was saved to ", options.state_save, "\n");
  }
  return status;
}

}  // namespace

Status chat_command(Options& options) {
  constexpr i64 MOST = Conversation::TEXT_BYTES;
  EDGELLM_TRY(check_outputs(options));
  options.engine.text_bytes = MOST;
  if (!options.seed_given) options.generate.sampling.seed = draw_seed();
  Engine engine;
  EDGELLM_TRY(open_model(options, &engine));
  EDGELLM_TRY(settle_stops(options, engine));
  if (!engine.has_tokenizer) return failed(NO_TOKENIZER, "; --tokenizer FILE takes that of another model file");
  const bool edited = open_terminal();
  const i64 bytes = 2 * MOST + (edited ? LineEditor::memory_bytes(MOST) : MOST);
  Span<u8> block;  // the text of a turn, the system text, and what was read or typed
  EDGELLM_TRY(take_memory(bytes, {.huge_pages = false, .lock = options.engine.lock}, &block));
  Span<char> buffers = {reinterpret_cast<char*>(block.data), bytes};
  ChatTemplate form;
  bool alone;
  EDGELLM_TRY(choose_template(options, engine, &form, &alone));
  if (alone) EDGELLM_TRY(check_alone(options));
  if (options.system && form.system.size == 0) return usage_error("--system: ", NO_SYSTEM);
  TypedMessages typed(edited ? buffers.slice(2 * MOST, bytes - 2 * MOST) : Span<char>());
  options.generate.count = tokens_to_make(options, engine, ANSWER_TOKENS);
  ChatLoop loop = {.options = options,
                   .read = ReadMessages(buffers.slice(2 * MOST, MOST)),
                   .typed = edited ? &typed : nullptr,
                   .alone = alone,
                   .conversation = {},
                   .system_buffer = buffers.slice(MOST, MOST),
                   .system = options.system ? Text(options.system) : Text(),
                   .terminal = is_terminal(STDIN)};
  loop.conversation.engine = &engine;
  loop.conversation.session = &engine.sessions[0];
  if (!alone) {
    EDGELLM_TRY(
        open_conversation(engine, engine.sessions[0], form, buffers.slice(0, MOST), &options.generate, &loop.conversation));
  }
  return talk(options, engine, loop);
}

}  // namespace edgellm
