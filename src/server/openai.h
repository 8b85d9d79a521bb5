// OpenAI's routes: what a request asks for (openai_fields.cpp: which fields there are, openai_request.cpp, openai_messages.cpp), and
// how it is answered (openai_answer.cpp; openai_log_probabilities.cpp writes what a text's tokens are).
#pragma once
#include "base/json_writer.h"
#include "server/server.h"

namespace edgellm {

inline constexpr Text TOO_LONG = "context_length_exceeded";  // OpenAI's code for a prompt that the model cannot take

// What is to be gone on with: a text, or a list of ids.
struct OpenAiPrompt {
  Text text;
  const JsonNode* ids = nullptr;  // null: the text
  EncodeOptions how = {.add_bos = true};
};

struct OpenAiRequest {
  const JsonNode* object;
  ServedModel* model;
  bool chat;
  bool stream = false, echo = false;
  bool usage = false;          // stream_options.include_usage
  bool spaced = false;         // ChatTemplate::spaces_answer
  i64 each = 1;                // texts of one prompt
  i64 log_probabilities = -1;  // of so many most probable tokens beside each; -1: none
  OpenAiPrompt prompts[MAX_CHOICES];
  i32 prompt_count = 0;
  Span<const i32> ids;           // of the prompt that was read last
  i32 ids_of = -1;               // which one that is
  EndOfTurn end;                 // of a chat
  CompletionRequest completion;  // but for its prompt, and for `end`
  Text code;                     // of a refusal that has one
};

// Fails at a field that is unknown, or asks for what is not done here: `why` has the words.
bool check_openai_fields(const JsonNode& object, bool chat, Writer& why);

// At most 40 bytes of what a client calls something, cut between two characters.
Text shortened(Text name);

// All fields but the prompt.
Status read_openai_fields(Server& server, const Connection& c, OpenAiRequest* request);

// The prompts of a completion, or the conversation of a chat.
Status read_openai_prompts(OpenAiRequest* request);
Status read_openai_messages(Server& server, OpenAiRequest* request);

// Fails unless the model can take all of them.
Status check_openai_prompts(OpenAiRequest* request);

// Finds the ids of one: request->ids, until those of another are found.
Status find_openai_ids(OpenAiRequest* request, i32 index);

extern const ReplyForm OPENAI_WHOLE, OPENAI_STREAM;

// What a stream says before its first text.
void begin_openai_stream(Reply& reply, Connection& c);

// A choice's text and what is told of its tokens, as far as log probabilities are wanted (openai_tokens.cpp).

// The prompt becomes the beginning of the text. False: there is no room for it.
bool echo_prompt(Choice& choice, const OpenAiPrompt& prompt, Span<const i32> ids);

// Keeps what is told of a token; or of one of the prompt that was echoed.
void keep_token(Choice& choice, i32 id);
void keep_prompt_token(Choice& choice, i64 index);
bool room_for_token(const Choice& choice);
i64 characters_of(Text text);

struct Range {
  i64 from, to;
};

// Writes these records as the route has them.
void write_log_probabilities(JsonWriter& json, const Choice& choice, Range records);

}  // namespace edgellm
