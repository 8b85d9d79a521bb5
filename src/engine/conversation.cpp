#include "engine/conversation.h"

#include <string.h>

namespace edgellm {

namespace {

constexpr i32 MOST_SAID = 4;  // in one turn

// The text of the last ids ends with `text`.
bool ends_with(const Engine& engine, const Session& session, Text text) {
  for (i32 i = session.recent_count; i >= 0 && text.size > 0; i--) {
    Text piece = engine.tokenizer.piece(i == session.recent_count ? session.pending : session.recent[i]);
    i64 n = min(piece.size, text.size);
    if (!(piece.from(piece.size - n) == text.from(text.size - n))) return false;
    text = text.slice(0, text.size - n);
  }
  return text.size == 0;
}

}  // namespace

Status read_chat_template(const ModelFile& file, ChatTemplate* chat, bool* found) {
  *chat = {};
  EDGELLM_TRY(file.text_or("chat", "", &chat->name));
  EDGELLM_TRY(file.text_or("chat.start", "", &chat->start));
  EDGELLM_TRY(file.text_or("chat.system", "", &chat->system));
  EDGELLM_TRY(file.text_or("chat.user", "", &chat->user));
  EDGELLM_TRY(file.text_or("chat.answer", "", &chat->answer));
  EDGELLM_TRY(file.text_or("chat.assistant", "", &chat->assistant));
  i32 bos, trim;
  EDGELLM_TRY(file.number_or("chat.bos", 0, 0, 1, &bos));
  EDGELLM_TRY(file.number_or("chat.trim", 0, 0, 1, &trim));
  chat->bos = bos;
  chat->trim = trim;
  *found = chat->name.size > 0;
  return *found ? chat->check() : Status();
}

bool EndOfTurn::add_to(GenerateOptions* options) const {
  options->end_id = id;
  return next_bytes == 0 || options->stop.add(next_turn());
}

Status find_end_of_turn(const Engine& engine, const ChatTemplate& form, EndOfTurn* end) {
  *end = {};
  Text close = form.close();
  Span<const i32> ids;
  EDGELLM_TRY(encode(engine, close, {.parse_special = true}, &ids));
  if (ids.count > 0 && engine.tokenizer.special(ids[0])) {
    end->id = ids[0];
    return {};
  }
  Writer writer(end->next);
  Text next = write(writer, close, form.before_user()).text();
  while (next.size > 0 && (next[next.size - 1] == ' ' || next[next.size - 1] == '\n'))
    next = next.slice(0, next.size - 1);
  end->next_bytes = next.size;
  return {};
}

Status open_conversation(Engine& engine, Session& session, const ChatTemplate& form, Span<char> text,
                         GenerateOptions* options, Conversation* conversation) {
  *conversation = {.engine = &engine, .session = &session, .form = form, .text = text};
  EDGELLM_TRY(find_end_of_turn(engine, form, &conversation->end));
  if (conversation->end.add_to(options)) return {};
  return usage_error("--stop: the chat template \"", form.name, "\" needs one of the ", StopStrings::MAX_STRINGS, " places");
}

// The ids of a turn, as `encode` gives them.
static Status turn_ids(const Conversation& conversation, Text system, Text user, Span<const i32>* ids) {
  const Engine& engine = *conversation.engine;
  const Session& session = *conversation.session;
  bool starts = session.position == 0;
  Text said[MOST_SAID];
  ChatWriter writer(conversation.form, conversation.text, {said, MOST_SAID});
  if (starts) {
    writer.begin(system);
  } else {
    writer.close();
  }
  writer.user(user);
  writer.answer();
  if (writer.full())
    return failed("the message is too long: with the words of the template at most ", conversation.text.count, " bytes");
  // An answer that ran into the next turn has begun it.
  Text text = writer.text(), begun = conversation.end.next_turn();
  if (!starts && begun.size && ends_with(engine, session, begun)) text = text.from(begun.size);
  EDGELLM_TRY(encode(
      engine, text,
      {.add_bos = starts && conversation.form.bos, .parse_special = true, .continues = !starts, .plain = writer.said()},
      ids));
  return ids->count ? Status() : failed("the message is empty, and the chat template has no words of its own");
}

Status take_turn(Conversation& conversation, Text system, Text user, const GenerateOptions& options, TextSink sink,
                 void* context, Generated* result) {
  Engine& engine = *conversation.engine;
  Session& session = *conversation.session;
  Span<const i32> ids;
  EDGELLM_TRY(turn_ids(conversation, system, user, &ids));
  // What ended the answer before is written by the template.
  bool ended =
      session.pending == conversation.end.id || options.stop_ids.has(session.pending) || is_stop(engine, session.pending);
  i64 positions = session.position + (session.pending >= 0 && !ended) + ids.count;
  GenerateOptions turn = options;
  if (!endless(engine)) {
    i64 room = engine.limits.context - positions + 1;  // the id made last is not run
    if (room < 1) {
      char words[128];
      Writer writer(words);
      return failed("the context is full: of ", engine.limits.context, " positions ", session.position,
                    " are taken, this turn needs ", positions - session.position, "; /reset, or start with ",
                    more_room(engine, writer));
    }
    turn.count = static_cast<i32>(min<i64>(turn.count, room));
  }
  const Session before = session;
  i32 recent[2 * REPEAT_SPAN];
  memcpy(recent, session.recent, sizeof recent);
  if (ended) session.pending = -1;
  EDGELLM_TRY(generate(engine, session, ids, turn, sink, context, result));
  bool unread = result->ending == Ending::interrupted && result->count == 0;
  // Where the cache has a place for every position, later ones have written over none of those before.
  if (unread && !endless(engine)) {
    session = before;
    memcpy(session.recent, recent, sizeof recent);
  }
  return {};
}

Status take_request(Engine& engine, Session& session, Text text, const GenerateOptions& options, TextSink sink,
                    void* context, Generated* result) {
  session.restart();
  Span<const i32> ids;
  EDGELLM_TRY(encode(engine, text, {.add_bos = true}, &ids));
  if (ids.count == 0) return failed("the message is empty for the tokenizer, and it names no first id");
  EDGELLM_TRY(check_room(engine, ids.count));
  GenerateOptions request = options;
  if (!endless(engine)) request.count = static_cast<i32>(min<i64>(request.count, engine.limits.context - ids.count + 1));
  return generate(engine, session, ids, request, sink, context, result);
}

}  // namespace edgellm
