// OpenAI's routes: /v1/completions, /v1/chat/completions, /v1/models and /v1/models/{id}.
#include "platform/clock.h"
#include "server/openai.h"

namespace edgellm {

namespace {

constexpr i64 MOST_WORDS = 1200;  // of an error

// The error begins with the field that it is about.
void refuse(Server& server, Connection& c, Text why, Text code) {
  i64 name = 0;
  while (name < why.size && why[name] != ':')
    name++;
  server.connections.answer_error(c, {400, why, name < why.size ? why.slice(0, name) : Text(), code});
}

Status read_request(Server& server, const Connection& c, OpenAiRequest* request) {
  EDGELLM_TRY(read_openai_fields(server, c, request));
  EDGELLM_TRY(request->chat ? read_openai_messages(server, request) : read_openai_prompts(request));
  EDGELLM_TRY(check_openai_prompts(request));
  const i64 texts = request->prompt_count * request->each, most = server.options.slots + server.options.queue;
  if (texts <= most) return {};
  return usage_error(request->each > 1 ? "n" : "prompt", ": expected at most ", most,
                     " texts in one answer, as --slots and --queue allow, got ", texts);
}

// The texts of one prompt, from choice `first` on.
Status begin_texts(Reply& reply, OpenAiRequest& request, i32 prompt) {
  EDGELLM_TRY(find_openai_ids(&request, prompt));
  for (i64 i = 0; i < request.each; i++) {
    const i32 index = static_cast<i32>(prompt * request.each + i);
    Choice& choice = reply.choices[index];
    choice.spaced_text = choice.spaced_token = request.spaced;
    choice.room.count -=
        static_cast<i64>(reinterpret_cast<uintptr_t>(choice.room.data + choice.room.count) % alignof(TokenRecord));
    choice.tokens = TokenRecords(choice.room, static_cast<i32>(max<i64>(0, request.log_probabilities)));
    if (request.echo && !echo_prompt(choice, request.prompts[prompt], request.ids)) {
      return usage_error("echo: the prompt, with what is asked of its tokens, is longer than the ", choice.room.count,
                         " bytes that a text of this answer may have");
    }
    CompletionRequest completion = request.completion;
    completion.prompt = request.ids;
    completion.options.sampling.seed += static_cast<u64>(index);
    (void)reply.openai.end.add_to(&completion.options);  // there is room for it
    reply.server->submit(reply, index, completion);
  }
  return {};
}

void begin_answer(Server& server, Connection& c, OpenAiRequest& request) {
  const i32 choices = static_cast<i32>(request.prompt_count * request.each);
  Reply* reply = server.begin_reply(c, *request.model, choices, request.stream ? OPENAI_STREAM : OPENAI_WHOLE);
  if (!reply) return;
  reply->streams = request.stream;
  reply->openai = {.chat = request.chat,
                   .usage = request.usage,
                   .spaced = request.spaced,
                   .each = static_cast<i32>(request.each),
                   .log_probabilities = static_cast<i32>(request.log_probabilities),
                   .created = unix_seconds(),
                   .seed = request.completion.options.sampling.seed,
                   .end = request.end};
  for (i32 i = 0; i < request.prompt_count; i++) {
    const Status status = begin_texts(*reply, request, i);
    if (status.ok()) continue;
    server.abandon(*reply);
    return refuse(server, c, status.text(), {});
  }
  if (request.stream) begin_openai_stream(*reply, c);
}

void complete(Server& server, Connection& c, bool chat) {
  OpenAiRequest request = {};
  if (!server.read_body(c, &request.object)) return;
  char buffer[MOST_WORDS];
  Writer why(buffer);
  if (!check_openai_fields(*request.object, chat, why)) return refuse(server, c, why.text(), {});
  request.model = server.choose_model(c, *request.object);
  if (!request.model) return;
  request.chat = chat;
  const Status status = read_request(server, c, &request);
  if (status.code() == Code::bad_model) return server.connections.answer_error(c, 500, status.text());
  if (!status.ok()) return refuse(server, c, status.text(), request.code);
  begin_answer(server, c, request);
}

void write_model(JsonWriter& json, const Server& server, const ServedModel& model) {
  json.open({});
  json.text("id", model.name);
  json.text("object", "model");
  json.number("created", server.began_unix);
  json.text("owned_by", "edgellm");
  json.number("context_length", model.engine.limits.context);
  json.close();
}

i32 hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Whether a part of a path says `name`: bytes may be written as %41.
bool path_says(Text part, Text name) {
  i64 at = 0;
  for (i64 i = 0; i < name.size; i++) {
    const bool coded = at + 2 < part.size && part[at] == '%' && hex_digit(part[at + 1]) >= 0 && hex_digit(part[at + 2]) >= 0;
    if (at >= part.size) return false;
    const char said = coded ? static_cast<char>(hex_digit(part[at + 1]) * 16 + hex_digit(part[at + 2])) : part[at];
    if (said != name[i]) return false;
    at += coded ? 3 : 1;
  }
  return at == part.size;
}

}  // namespace

void openai_completions(Server& server, Connection& c) {
  complete(server, c, false);
}

void openai_chat_completions(Server& server, Connection& c) {
  complete(server, c, true);
}

void openai_models(Server& server, Connection& c) {
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.text("object", "list");
  json.open_list("data");
  for (const ServedModel& model : server.models) {
    if (model.loaded()) write_model(json, server, model);
  }
  json.close_list();
  json.close();
  server.answer_json(c, body);
}

void openai_model(Server& server, Connection& c) {
  const Text part = c.request.path.from(c.route->path.size);
  for (const ServedModel& model : server.models) {
    if (!path_says(part, model.name) || !model.loaded()) continue;
    Writer body = server.compose();
    JsonWriter json(body);
    write_model(json, server, model);
    return server.answer_json(c, body);
  }
  server.connections.answer_error(
      c, {404, "model: there is none of this name; /v1/models has those that there are", "model", "model_not_found"});
}

}  // namespace edgellm
