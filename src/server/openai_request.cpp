// What a request of OpenAI's routes asks for: its numbers, and its prompts. The conversation of a chat is in openai_messages.cpp.
#include <string.h>

#include "file/limits.h"
#include "server/openai.h"
#include "server/text_request.h"

namespace edgellm {

namespace {

constexpr i64 COMPLETION_TOKENS = 16;  // where the request does not say

constexpr f64 LEAST_PENALTY = 0.01;
static_assert(static_cast<f32>(LEAST_PENALTY) == MIN_REPEAT_PENALTY);

Status read_f32(JsonField field, f64 low, f64 high, f32* value) {
  f64 read = static_cast<f64>(*value);
  EDGELLM_TRY(read_real(field, low, high, &read));
  *value = static_cast<f32>(read);
  return {};
}

// Of a chat as many as the context holds, of the rest few.
Status read_count(const Server& server, OpenAiRequest* request) {
  const JsonNode& object = *request->object;
  const JsonField newer = json_field(object, "max_completion_tokens"), older = json_field(object, "max_tokens");
  const i64 most = server.options.most_tokens;
  i64 count = request->chat ? request->model->engine.limits.context : COMPLETION_TOKENS;
  EDGELLM_TRY(read_tokens(older, request->chat ? 1 : 0, &count));
  const i64 first = count;
  EDGELLM_TRY(read_tokens(newer, 1, &count));
  if (newer.value && older.value && count != first)
    return usage_error("max_tokens: max_completion_tokens is ", count, ", so expected the same or no such field, got ",
                       first);
  request->completion.options.count = static_cast<i32>(min(count, most));
  return {};
}

Status read_log_probabilities(OpenAiRequest* request) {
  const JsonField asked = json_field(*request->object, "logprobs"), top = json_field(*request->object, "top_logprobs");
  i64& count = request->log_probabilities;
  if (request->chat) {
    bool wanted = false;
    EDGELLM_TRY(read_boolean(asked, &wanted));
    if (wanted) count = 0;
    if (top.value && !wanted) return usage_error("top_logprobs: expected logprobs to be true beside it");
    EDGELLM_TRY(read_integer(top, 0, MOST_LOG_PROBABILITIES, &count));
  } else {
    EDGELLM_TRY(read_integer(asked, 0, 5, &count));
  }
  request->completion.top_log_probabilities = static_cast<i32>(count);
  return {};
}

Status read_stream_options(OpenAiRequest* request) {
  const JsonField field = json_field(*request->object, "stream_options");
  const JsonNode* options = nullptr;
  EDGELLM_TRY(read_object(field, &options));
  if (!options) return {};
  if (!request->stream) return usage_error("stream_options: expected stream to be true beside it");
  constexpr Text known[] = {"include_usage", "include_obfuscation"};
  const JsonNode* unknown = json_unknown(*options, {known, 2});
  if (unknown)
    return usage_error("stream_options.", shortened(unknown->text()),
                       ": not a field; there are include_usage, include_obfuscation");
  bool obfuscation = false;
  EDGELLM_TRY(read_boolean({"stream_options.include_obfuscation", json_field(*options, known[1]).value}, &obfuscation));
  if (obfuscation) return usage_error("stream_options.include_obfuscation: expected false, got true");
  return read_boolean({"stream_options.include_usage", json_field(*options, known[0]).value}, &request->usage);
}

Status read_choices(OpenAiRequest* request) {
  EDGELLM_TRY(read_integer(json_field(*request->object, "n"), 1, MAX_CHOICES, &request->each));
  i64 best = request->each;
  EDGELLM_TRY(read_integer(json_field(*request->object, "best_of"), 1, MAX_CHOICES, &best));
  if (best != request->each)
    return usage_error("best_of: expected n, which is ", request->each, ", or no such field, got ", best);
  return {};
}

// A list of ids, or one of texts or of lists of ids.
Status read_list_of_prompts(const JsonNode& list, OpenAiRequest* request) {
  const JsonNode* first = json_first(list);
  if (!first) return usage_error("prompt: expected a text or an id in the list, there is nothing");
  if (first->kind == JsonKind::number) {
    request->prompts[request->prompt_count++] = {{}, &list};
    return {};
  }
  if (list.size > MAX_CHOICES) return usage_error("prompt: expected at most ", MAX_CHOICES, " prompts, got ", list.size);
  for (const JsonNode* one = first; one; one = json_next(*one)) {
    const bool ids = one->kind == JsonKind::list;
    if (one->kind != first->kind || !(ids || one->kind == JsonKind::string))
      return expected({"prompt", one}, "a list of texts, of ids, or of lists of ids");
    request->prompts[request->prompt_count++] = {ids ? Text() : one->text(), ids ? one : nullptr};
  }
  return {};
}

Status ids_of_list(const Engine& engine, const JsonNode& list, Span<const i32>* ids) {
  i64 count = 0;
  for (const JsonNode* id = json_first(list); id; id = json_next(*id)) {
    i64 value = 0;
    if (id->kind == JsonKind::null) return usage_error("prompt: expected an id, got null");
    EDGELLM_TRY(read_integer({"prompt", id}, 0, engine.model.vocab - 1, &value));
    if (count == engine.text_ids.count)
      return usage_error("prompt: expected at most ", engine.text_ids.count, " ids, got ", list.size);
    engine.text_ids[count++] = static_cast<i32>(value);
  }
  *ids = engine.text_ids.slice(0, count);
  return {};
}

}  // namespace

Status read_openai_fields(Server& server, const Connection& c, OpenAiRequest* request) {
  const JsonNode& object = *request->object;
  GenerateOptions& options = request->completion.options;
  SamplingOptions& sampling = options.sampling;
  EDGELLM_TRY(read_text_fields(server, *request->model, c, object, &request->completion));
  stop_at_special_tokens(request->model->engine, &options);
  i64 top_k = sampling.top_k;
  EDGELLM_TRY(read_integer(json_field(object, "top_k"), 0, MAX_VOCAB, &top_k));
  sampling.top_k = static_cast<i32>(top_k);
  EDGELLM_TRY(read_f32(json_field(object, "min_p"), 0, 1, &sampling.min_p));
  EDGELLM_TRY(
      read_f32(json_field(object, "repeat_penalty"), LEAST_PENALTY, f64{MAX_REPEAT_PENALTY}, &sampling.repeat_penalty));
  EDGELLM_TRY(read_boolean(json_field(object, "stream"), &request->stream));
  EDGELLM_TRY(read_boolean(json_field(object, "echo"), &request->echo));
  EDGELLM_TRY(read_stream_options(request));
  EDGELLM_TRY(read_choices(request));
  EDGELLM_TRY(read_log_probabilities(request));
  request->completion.prompt_log_probabilities = request->echo && request->log_probabilities >= 0;
  return read_count(server, request);
}

Status read_openai_prompts(OpenAiRequest* request) {
  const JsonField prompt = json_field(*request->object, "prompt");
  if (!prompt.value) return usage_error("prompt: expected a text, a list of texts or a list of ids, there is none");
  if (prompt.value->kind == JsonKind::list) {
    EDGELLM_TRY(read_list_of_prompts(*prompt.value, request));
  } else {
    EDGELLM_TRY(read_string(prompt, &request->prompts[0].text));
    request->prompt_count = 1;
  }
  const i64 texts = request->prompt_count * request->each;
  if (texts <= MAX_CHOICES) return {};
  return usage_error("n: expected at most ", MAX_CHOICES, " texts in one answer, got ", request->prompt_count,
                     " prompts with ", request->each, " each");
}

Status find_openai_ids(OpenAiRequest* request, i32 index) {
  if (request->ids_of == index) return {};
  const Engine& engine = request->model->engine;
  const OpenAiPrompt& prompt = request->prompts[index];
  const Text field = request->chat ? "messages" : "prompt";
  Span<const i32>& ids = request->ids;
  if (prompt.ids) {
    EDGELLM_TRY(ids_of_list(engine, *prompt.ids, &ids));
  } else if (!engine.has_tokenizer) {
    return usage_error(field, ": ", NO_TOKENIZER);
  } else {
    EDGELLM_TRY(encode(engine, prompt.text, prompt.how, &ids));
  }
  request->ids_of = index;
  if (ids.count > 0) return {};
  if (prompt.ids) return usage_error("prompt: expected an id in each list, there is an empty one");
  return usage_error(field, ": there is nothing in it, and the tokenizer names no first id");
}

Status check_openai_prompts(OpenAiRequest* request) {
  for (i32 i = 0; i < request->prompt_count; i++) {
    EDGELLM_TRY(find_openai_ids(request, i));
    const Status fits = request->model->scheduler.check_prompt(request->ids);
    if (fits.ok()) continue;
    request->code = TOO_LONG;
    return usage_error(request->chat ? "messages" : "prompt", ": ", fits.text());
  }
  return {};
}

}  // namespace edgellm
