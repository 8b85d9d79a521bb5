// The expert-model service: what clients of a service for mixtures of experts ask for, here of every model.
#include "base/json_writer.h"
#include "file/limits.h"
#include "server/text_request.h"

namespace edgellm {

namespace {

constexpr i64 DEFAULT_TOKENS = 256;

// A dense model has no experts, so that nothing is decided about its tokens: none is important or not, none falls back to all of
// the experts, and no expert is found in a cache.
void write_expert_figures(JsonWriter& json) {
  constexpr const char* names[] = {"tokens_processed", "important_tokens", "unimportant_tokens", "fallbacks", "cache_hits"};
  for (const char* name : names)
    json.number(name, 0);
}

void answer_text(Choice& choice) {
  if (answer_failure(choice)) return;
  const Reply& reply = *choice.reply;
  Server& server = *reply.server;
  const Completed& completed = choice.completed;
  const f64 seconds = static_cast<f64>(completed.whole_ns) / 1e9;
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.text("text", choice.text());
  json.open("stats");
  json.real("elapsed_seconds", {seconds, 6});
  json.number("tokens_generated", completed.made);
  json.real("tokens_per_second", {seconds > 0 ? completed.made / seconds : 0, 2});
  json.text("device", DEVICE);
  json.text("model", reply.model->name);
  write_expert_figures(json);
  json.close();
  json.text("status", "success");
  json.close();
  server.answer_json(*server.connection(reply), body);
}

constexpr ReplyForm FORM = {nullptr, nullptr, answer_text};

}  // namespace

void experts_generate(Server& server, Connection& c) {
  begin_plain_text(server, c, {DEFAULT_TOKENS, MAX_CONTEXT}, FORM);
}

void experts_health(Server& server, Connection& c) {
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.text("status", server.loaded() ? "healthy" : "initializing");
  json.text("device", DEVICE);
  server.write_first_model(json, "model");
  json.flag("mlx_available", false);
  json.close();
  server.answer_json(c, body);
}

}  // namespace edgellm
