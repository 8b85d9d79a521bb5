// A conversation in a session: each turn runs the ids that are new and nothing else.
#pragma once
#include "engine/generate.h"
#include "text/chat_template.h"

namespace edgellm {

// The template of a model file (`chat.*`); *found tells whether there is one.
Status read_chat_template(const ModelFile& file, ChatTemplate* chat, bool* found);

// What ends an answer.
struct EndOfTurn {
  i32 id = -1;                             // a special token, -1: the template has none
  char next[StopStrings::MAX_BYTES] = {};  // then: what the model would go on with
  i64 next_bytes = 0;

  Text next_turn() const { return {next, next_bytes}; }

  // False: the options have no place for one more stop string. This outlives them.
  bool add_to(GenerateOptions* options) const;
};

// The engine has a tokenizer; `form` was checked.
Status find_end_of_turn(const Engine& engine, const ChatTemplate& form, EndOfTurn* end);

struct Conversation {
  // What the user and the system say in one turn, with the words of the template around it.
  static constexpr i64 TEXT_BYTES = 1 << 16;

  Engine* engine = nullptr;
  Session* session = nullptr;
  ChatTemplate form;
  Span<char> text;  // (TEXT_BYTES)
  EndOfTurn end = {};
};

// The engine has a tokenizer and was opened for texts of TEXT_BYTES; `form` was checked. What ends an answer is added to the
// options that all turns are made with.
Status open_conversation(Engine& engine, Session& session, const ChatTemplate& form, Span<char> text,
                         GenerateOptions* options, Conversation* conversation);

// Says `user` and generates the answer. `system` counts at the start of a conversation alone. The error `failed` leaves the
// session as it was, if the message is too long or the context has no place for it. A message that a signal stopped before it was
// read to its end is taken back, if the session's state lets it: as the position tells.
Status take_turn(Conversation& conversation, Text system, Text user, const GenerateOptions& options, TextSink sink,
                 void* context, Generated* result);

// A request of its own: the session begins anew with the text, as the model wants a prompt, and generates the answer.
Status take_request(Engine& engine, Session& session, Text text, const GenerateOptions& options, TextSink sink,
                    void* context, Generated* result);

}  // namespace edgellm
