#include "server/text_request.h"

#include "file/limits.h"
#include "platform/clock.h"

namespace edgellm {

namespace {

Status add_stop(JsonField field, StopStrings* stop) {
  Text text;
  if (field.value->kind == JsonKind::string) text = field.value->text();
  if (stop->add(text)) return {};
  static_assert(StopStrings::MAX_BYTES == 256 && StopStrings::MAX_STRINGS == 16);
  return expected(field, "a string of 1 to 256 bytes, or a list of up to 16 such strings");
}

Status read_stop(JsonField field, StopStrings* stop) {
  if (!field.value) return {};
  if (field.value->kind != JsonKind::list) return add_stop(field, stop);
  for (const JsonNode* text = json_first(*field.value); text; text = json_next(*text))
    EDGELLM_TRY(add_stop({field.name, text}, stop));
  return {};
}

// A header field's value as a number, or as what it is not.
Status read_priority_header(const HttpRequest& request, i64* priority) {
  const HttpField* header = http_field(request, "x-priority");
  if (!header) return {};
  char text[16];  // longer ones are out of range
  Writer copy(text);
  copy.add(header->value);
  JsonNode node;
  if (copy.cut() || !parse_json({text, copy.text().size}, {&node, 1}).ok()) {
    node = {header->value.data, static_cast<u32>(header->value.size), 0, JsonKind::string};
  }
  return read_integer({"X-Priority", &node}, -MAX_PRIORITY, MAX_PRIORITY, priority);
}

// What -1 means elsewhere.
Status with_way_out(const Status& status, JsonField field, const char* way_out) {
  const bool minus_one = field.value && field.value->kind == JsonKind::number && field.value->text() == "-1";
  return status.ok() || !minus_one ? status : usage_error(status.text(), way_out);
}

}  // namespace

Status read_tokens(JsonField field, i64 least, i64* tokens) {
  return with_way_out(read_integer(field, least, INT32_MAX, tokens), field,
                      "; a large number is cut to what there is room for");
}

Status read_text_fields(Server& server, const ServedModel& model, const Connection& c, const JsonNode& object,
                        CompletionRequest* request) {
  SamplingOptions& sampling = request->options.sampling;
  f64 temperature = static_cast<f64>(model.temperature), top_p = static_cast<f64>(sampling.top_p);
  i64 priority = 0, timeout = 0;
  sampling.seed = server.next_seed();
  EDGELLM_TRY(read_real(json_field(object, "temperature"), 0, static_cast<f64>(MAX_TEMPERATURE), &temperature));
  EDGELLM_TRY(read_real(json_field(object, "top_p"), 0, 1, &top_p));
  const JsonField seed = json_field(object, "seed");
  EDGELLM_TRY(with_way_out(read_whole(seed, ~u64{0}, &sampling.seed), seed, "; leave it out for one that is drawn"));
  EDGELLM_TRY(read_stop(json_field(object, "stop"), &request->options.stop));
  EDGELLM_TRY(read_priority_header(c.request, &priority));
  EDGELLM_TRY(read_integer(json_field(object, "priority"), -MAX_PRIORITY, MAX_PRIORITY, &priority));
  EDGELLM_TRY(read_integer(json_field(object, "timeout_ms"), 1, MAX_TIMEOUT_MS, &timeout));
  sampling.temperature = static_cast<f32>(temperature);
  sampling.top_p = static_cast<f32>(top_p);
  request->priority = static_cast<i32>(priority);
  if (timeout > 0) request->deadline = now_ns() + timeout * 1000000;
  return {};
}

// The fields of a plain request but the model.
static Status read_plain_fields(Server& server, const ServedModel& model, const Connection& c, const JsonNode& object,
                                i64* tokens, CompletionRequest* request) {
  constexpr Text known[] = {"prompt", "max_tokens", "model",    "temperature", "top_p",
                            "seed",   "stop",       "priority", "timeout_ms"};
  EDGELLM_TRY(refuse_unknown(object, {known, sizeof known / sizeof known[0]}));
  EDGELLM_TRY(read_tokens(json_field(object, "max_tokens"), 1, tokens));
  return read_text_fields(server, model, c, object, request);
}

void begin_plain_text(Server& server, Connection& c, const PlainRequest& plain, const ReplyForm& form) {
  const JsonNode* object;
  if (!server.read_body(c, &object)) return;
  ServedModel* model = server.choose_model(c, *object);
  if (!model) return;
  CompletionRequest request;
  i64 tokens = plain.tokens;
  Status status = read_plain_fields(server, *model, c, *object, &tokens, &request);
  const JsonField prompt = json_field(*object, "prompt");
  Text text;
  if (status.ok() && !prompt.value) status = failed("prompt: expected a string, there is none");
  if (status.ok()) status = read_string(prompt, &text);
  if (!status.ok()) return server.connections.answer_error(c, 400, status.text());
  if (!server.read_prompt(c, *model, text, &request.prompt)) return;
  Reply* reply = server.begin_reply(c, *model, 1, form);
  if (!reply) return;
  request.options.count = static_cast<i32>(min(tokens, plain.most));
  server.submit(*reply, 0, request);
}

bool answer_failure(const Choice& choice) {
  const Status& status = choice.completed.status;
  Server& server = *choice.reply->server;
  if (!status.ok()) server.connections.answer_error(*server.connection(*choice.reply), 500, status.text());
  return !status.ok();
}

}  // namespace edgellm
