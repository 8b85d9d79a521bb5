// The edge routes: what the boxes of a federation ask of each other.
#include "base/json_writer.h"
#include "server/server.h"

namespace edgellm {

namespace {

constexpr i32 DEFAULT_TOKENS = 100;
constexpr f32 TEMPERATURE = 0.7f;

bool add_text(Choice& choice, Text text) {
  return choice.add(text);
}

void answer(Choice& choice) {
  Reply& reply = *choice.reply;
  Server& server = *reply.server;
  Connection& c = *server.connection(reply);
  const Completed& completed = choice.completed;
  if (!completed.status.ok()) return server.connections.answer_error(c, 500, completed.status.text());
  Writer body(server.composed.data, server.composed.count);
  JsonWriter json(body);
  json.open({});
  json.text("response", choice.text());
  json.text("model", reply.model->name);
  json.text("node", server.options.node);
  json.text("device", "cpu");
  json.number("tokens_generated", completed.made);
  json.text("mode", "sustained");
  json.close();
  server.connections.answer(c, {.type = "application/json"}, body.text());
}

constexpr ReplyForm FORM = {nullptr, add_text, answer};

}  // namespace

void edge_completions(void* context, Connections& connections, Connection& c) {
  Server& server = *static_cast<Server*>(context);
  const JsonNode* object;
  if (!server.read_object(c, &object)) return;
  Text prompt;
  i64 tokens = DEFAULT_TOKENS;
  f64 temperature = TEMPERATURE;
  Status status = read_string(json_field(*object, "prompt"), &prompt);
  if (status.ok()) status = read_integer(json_field(*object, "max_tokens"), 1, server.options.edge_tokens, &tokens);
  if (!status.ok()) return connections.answer_error(c, 400, status.text());
  if (server.models.count == 0) return connections.answer_error(c, 503, "Model not loaded");
  ServedModel& model = server.models[0];
  Span<const i32> ids;
  if (!server.read_prompt(c, model, prompt, &ids)) return;
  Reply* reply = server.begin_reply(c, model, 1, FORM);
  if (!reply) return connections.answer_error(c, 429, "the queue is full: try again");
  CompletionRequest request;
  request.prompt = ids;
  request.options.count = static_cast<i32>(tokens);
  request.options.sampling.temperature = static_cast<f32>(temperature);
  request.options.sampling.seed = server.next_seed();
  server.submit(*reply, 0, request);
}

}  // namespace edgellm
