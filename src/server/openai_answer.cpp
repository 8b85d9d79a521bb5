// Answers of OpenAI's routes, whole or as a stream of events. A text's log probabilities are sent with the part of the text that
// they belong to.
#include <string.h>

#include "base/random.h"
#include "base/version.h"
#include "platform/clock.h"
#include "server/openai.h"
#include "text/unicode.h"

namespace edgellm {

namespace {

constexpr i64 TOKENS_OF_EVENT = 4;  // with log probabilities, so that an event has room

bool with_tokens(const Choice& choice) {
  return choice.reply->openai.log_probabilities >= 0;
}

const char* finish_reason(const Completed& completed) {
  const bool stop = completed.ending == Ending::stop_id || completed.ending == Ending::stop_string;
  return stop ? "stop" : "length";
}

// What all answers and events begin with; the caller closes it.
void open_answer(JsonWriter& json, const Reply& reply, bool event) {
  const OpenAiReply& openai = reply.openai;
  char buffer[40];
  Writer id(buffer);
  write(id, openai.chat ? "chatcmpl-" : "cmpl-", Hex{random_bits(~reply.server->seed, reply.number), 16});
  json.open({});
  json.text("id", id.text());
  json.text("object", !openai.chat ? "text_completion" : event ? "chat.completion.chunk" : "chat.completion");
  json.number("created", openai.created);
  json.text("model", reply.model->name);
  json.text("system_fingerprint", "edgellm-" EDGELLM_VERSION);
  json.whole("seed", openai.seed);
}

void write_usage(JsonWriter& json, const Reply& reply) {
  i64 prompt = 0, cached = 0, made = 0;
  for (const Choice& choice : reply.choices) {
    made += choice.completed.made;
    if (choice.index % reply.openai.each) continue;  // the prompt is the same
    prompt += choice.completed.prompt;
    cached += choice.completed.cached;
  }
  json.open("usage");
  json.number("prompt_tokens", prompt);
  json.number("completion_tokens", made);
  json.number("total_tokens", prompt + made);
  json.open("prompt_tokens_details");
  json.number("cached_tokens", cached);
  json.close();
  json.close();
}

// Without the space that the template writes.
Text own_text(Choice& choice, Text text) {
  const bool drops = choice.spaced_text && text.size && text[0] == ' ';
  choice.spaced_text = false;
  return drops ? text.from(1) : text;
}

// False: there is no room for it beside what is told of the tokens.
bool keep_text(Choice& choice, Text text) {
  text = own_text(choice, text);
  if (choice.full) return false;
  if (!with_tokens(choice)) return choice.add(text);
  const i64 before = choice.escaped;
  if (choice.used + text.size + choice.tokens.bytes() > choice.room.count || !choice.add(text)) return false;
  choice.escaped += choice.escaped - before;  // once more, in the tokens
  if (choice.escaped <= choice.room.count) return true;
  choice.used -= text.size;
  return false;
}

// The text is whole: its end is that of the last token. What is not a character belongs to that, too.
void settle_tokens(Choice& choice) {
  TokenRecords& tokens = choice.tokens;
  const i32 end = static_cast<i32>(choice.used);
  tokens.cut(end);
  if (tokens.count()) tokens[tokens.count() - 1].end = end;
}

void write_choice(JsonWriter& json, const Choice& choice) {
  json.open({});
  json.number("index", choice.index);
  if (choice.reply->openai.chat) {
    json.open("message");
    json.text("role", "assistant");
    json.text("content", choice.text());
    json.null("refusal");
    json.close();
  } else {
    json.text("text", choice.text());
  }
  write_log_probabilities(json, choice, {0, choice.tokens.count()});
  json.text("finish_reason", finish_reason(choice.completed));
  json.close();
}

void end_whole(Choice& choice) {
  Reply& reply = *choice.reply;
  Server& server = *reply.server;
  settle_tokens(choice);
  if (reply.running > 0) return;
  Connection& c = *server.connection(reply);
  for (const Choice& one : reply.choices) {
    if (!one.completed.status.ok()) return server.connections.answer_error(c, 500, one.completed.status.text());
  }
  Writer body = server.compose();
  JsonWriter json(body);
  open_answer(json, reply, false);
  json.open_list("choices");
  for (const Choice& one : reply.choices)
    write_choice(json, one);
  json.close_list();
  write_usage(json, reply);
  json.close();
  if (!body.cut()) return server.answer_json(c, body);
  server.connections.answer_error(
      c, {400, "logprobs: with echo they are longer than an answer may be: expected a shorter prompt, or stream to be true",
          "logprobs"});
}

// False: the client is gone.
bool send(Reply& reply, Text event) {
  Connection* c = reply.server->connection(reply);
  reply.said = now_ns();
  return c && reply.server->connections.event(*c, event);
}

enum class Part : u8 { role, text, finish };

// One event: the role of a message, a part of a text with its first `tokens`, or why it ended.
bool send_part(Choice& choice, Part part, Text text, i64 tokens) {
  Reply& reply = *choice.reply;
  Writer body = reply.server->compose();
  JsonWriter json(body);
  open_answer(json, reply, true);
  json.open_list("choices");
  json.open({});
  json.number("index", choice.index);
  if (reply.openai.chat) {
    json.open("delta");
    if (part == Part::role) json.text("role", "assistant");
    if (part != Part::finish) json.text("content", text);
    json.close();
  } else {
    json.text("text", text);
  }
  tokens > 0 ? write_log_probabilities(json, choice, {0, tokens}) : json.null("logprobs");
  part == Part::finish ? json.text("finish_reason", finish_reason(choice.completed)) : json.null("finish_reason");
  json.close();
  json.close_list();
  if (reply.openai.usage) json.null("usage");
  json.close();
  return send(reply, body.text());
}

// The first tokens were sent, and their text.
void forget_sent(Choice& choice, i64 tokens, i64 bytes) {
  choice.tokens.drop_first(tokens);
  choice.characters += characters_of({choice.room.data, bytes});
  choice.used -= bytes;
  choice.escaped = 0;
  memmove(choice.room.data, choice.room.data + bytes, static_cast<size_t>(choice.used));
}

// Tokens whose text is here, up to the last that has any: those without wait for what they become, and the last one of all for what
// is no character if the text ends behind it.
i64 tokens_to_send(const Choice& choice) {
  const TokenRecords& tokens = choice.tokens;
  i64 ready = 0;
  for (i64 i = 0, before = 0; i < tokens.count() && tokens[i].end <= choice.used; before = tokens[i++].end) {
    const bool ends = tokens[i].inside && i + 1 == tokens.count();
    if (tokens[i].end > before && !ends) ready = i + 1;
  }
  return ready;
}

bool send_tokens(Choice& choice, i64 count) {
  while (count > 0) {
    const i64 n = min(count, TOKENS_OF_EVENT), bytes = choice.tokens[n - 1].end;
    if (!send_part(choice, Part::text, {choice.room.data, bytes}, n)) return false;
    forget_sent(choice, n, bytes);
    count -= n;
  }
  return true;
}

void stream_token(Choice& choice, i32 id) {
  if (!with_tokens(choice)) return;
  // Tokens that print nothing, without an end: they are sent when there is no room for more, but for the last, whose the end of the
  // text may be.
  if (choice.used == choice.tokens.end() && !room_for_token(choice)) (void)send_tokens(choice, choice.tokens.count() - 1);
  keep_token(choice, id);
}

bool stream_text(Choice& choice, Text text) {
  if (with_tokens(choice)) return keep_text(choice, text) && send_tokens(choice, tokens_to_send(choice));
  text = own_text(choice, text);
  return text.size == 0 || send_part(choice, Part::text, text, 0);
}

void send_usage(Reply& reply) {
  Writer body = reply.server->compose();
  JsonWriter json(body);
  open_answer(json, reply, true);
  json.open_list("choices");
  json.close_list();
  write_usage(json, reply);
  json.close();
  (void)send(reply, body.text());
}

void send_error(Reply& reply, Text why) {
  Writer body = reply.server->compose();
  write_error_body(body, reply.openai.chat ? "/v1/chat/completions" : "/v1/completions", {500, why});
  (void)send(reply, body.text());
}

void end_stream(Choice& choice) {
  Reply& reply = *choice.reply;
  Server& server = *reply.server;
  if (choice.completed.status.ok()) {
    settle_tokens(choice);
    if (send_tokens(choice, choice.tokens.count())) (void)send_part(choice, Part::finish, {}, 0);
  } else {
    send_error(reply, choice.completed.status.text());
  }
  if (reply.running > 0) return;
  if (reply.openai.usage) send_usage(reply);
  if (!send(reply, "[DONE]")) return;
  (void)server.connections.end_events(*server.connection(reply));
}

}  // namespace

const ReplyForm OPENAI_WHOLE = {keep_token, keep_text, end_whole, keep_prompt_token};
const ReplyForm OPENAI_STREAM = {stream_token, stream_text, end_stream, keep_prompt_token};

void begin_openai_stream(Reply& reply, Connection& c) {
  if (!reply.server->connections.begin_events(c)) return;
  for (Choice& choice : reply.choices) {
    if (reply.openai.chat && !send_part(choice, Part::role, {}, 0)) return;
    if (choice.used == 0 || with_tokens(choice)) continue;
    if (!send_part(choice, Part::text, choice.text(), 0)) return;
    choice.used = choice.escaped = 0;
  }
}

}  // namespace edgellm
