// The fields that OpenAI's clients send: those that are used, those that change nothing here, and those that ask for what is not
// done, which are refused by name. docs/SERVE.md has the same table for people.
#include "base/decimal.h"
#include "server/openai.h"

namespace edgellm {

namespace {

enum : u8 { TEXT = 1, CHAT = 2, BOTH = 3 };  // completions, chat completions

enum class Rule : u8 { used, inert, zero, empty, none_word, text_format, text_list };

// What the value of each rule may be, besides null.
constexpr const char* ALLOWED[] = {"", "", "0", "nothing", "\"none\"", "{\"type\":\"text\"}", "[\"text\"]"};

struct Field {
  Text name;
  u8 routes;
  Rule rule = Rule::used;
  const char* instead = "";
};

constexpr const char* REPEATING = "; repeat_penalty is there against repetition";
constexpr const char* NO_TOOLS = "; this server calls no tools";

constexpr Field FIELDS[] = {
    {"model", BOTH},
    {"prompt", TEXT},
    {"messages", CHAT},
    {"max_tokens", BOTH},
    {"max_completion_tokens", CHAT},
    {"temperature", BOTH},
    {"top_p", BOTH},
    {"top_k", BOTH},
    {"min_p", BOTH},
    {"repeat_penalty", BOTH},
    {"seed", BOTH},
    {"stop", BOTH},
    {"n", BOTH},
    {"best_of", TEXT},
    {"logprobs", BOTH},
    {"top_logprobs", CHAT},
    {"echo", TEXT},
    {"stream", BOTH},
    {"stream_options", BOTH},
    {"timeout_ms", BOTH},
    {"priority", BOTH},

    {"user", BOTH, Rule::inert},
    {"metadata", BOTH, Rule::inert},
    {"store", BOTH, Rule::inert},
    {"service_tier", BOTH, Rule::inert},
    {"safety_identifier", BOTH, Rule::inert},
    {"prompt_cache_key", BOTH, Rule::inert},
    {"prompt_cache_retention", BOTH, Rule::inert},
    {"prediction", CHAT, Rule::inert},
    {"parallel_tool_calls", CHAT, Rule::inert},

    {"frequency_penalty", BOTH, Rule::zero, REPEATING},
    {"presence_penalty", BOTH, Rule::zero, REPEATING},
    {"logit_bias", BOTH, Rule::empty},
    {"suffix", TEXT, Rule::empty},
    {"tools", CHAT, Rule::empty, NO_TOOLS},
    {"tool_choice", CHAT, Rule::none_word, NO_TOOLS},
    {"functions", CHAT, Rule::empty, NO_TOOLS},
    {"function_call", CHAT, Rule::none_word, NO_TOOLS},
    {"response_format", CHAT, Rule::text_format},
    {"modalities", CHAT, Rule::text_list},
    {"audio", CHAT, Rule::empty},
    {"reasoning_effort", CHAT, Rule::none_word},
    {"verbosity", CHAT, Rule::empty},
    {"web_search_options", CHAT, Rule::empty},
};

bool is_word(const JsonNode& value, Text word) {
  return value.kind == JsonKind::string && value.text() == word;
}

bool is_empty(const JsonNode& value) {
  return value.size == 0 && value.kind != JsonKind::number && value.kind != JsonKind::boolean;
}

bool has_text_type(const JsonNode& value) {
  if (value.kind != JsonKind::object || value.size != 1) return false;
  const JsonField type = json_field(value, "type");
  return type.value && is_word(*type.value, "text");
}

bool allows(Rule rule, const JsonNode& value) {
  switch (rule) {
    case Rule::zero:
      return value.kind == JsonKind::number && nearest_f64(value.text()) == 0;
    case Rule::empty:
      return is_empty(value);
    case Rule::none_word:
      return is_word(value, "none");
    case Rule::text_format:
      return has_text_type(value);
    case Rule::text_list:
      return value.kind == JsonKind::list && value.size == 1 && is_word(*json_first(value), "text");
    default:
      return true;
  }
}

bool of_route(const Field& field, bool chat) {
  return (field.routes & (chat ? CHAT : TEXT)) != 0;
}

const Field* find_field(Text name, bool chat) {
  for (const Field& field : FIELDS) {
    if (field.name == name && of_route(field, chat)) return &field;
  }
  return nullptr;
}

void describe_unknown(Text name, bool chat, Writer& why) {
  write(why, shortened(name), ": not a field of this route; there are");
  const char* between = " ";
  for (const Field& field : FIELDS) {
    if (!of_route(field, chat)) continue;
    write(why, between, field.name);
    between = ", ";
  }
}

}  // namespace

Text shortened(Text name) {
  i64 size = min<i64>(name.size, 40);
  while (size < name.size && size > 0 && (name[size] & 0xc0) == 0x80)
    size--;
  return name.slice(0, size);
}

bool check_openai_fields(const JsonNode& object, bool chat, Writer& why) {
  for (const JsonNode* key = json_first(object); key; key = json_next(*key)) {
    const JsonNode& value = key[1];
    const Field* field = find_field(key->text(), chat);
    if (!field) {
      describe_unknown(key->text(), chat, why);
      return false;
    }
    if (value.kind == JsonKind::null || allows(field->rule, value)) continue;
    const char* allowed = ALLOWED[static_cast<i32>(field->rule)];
    write(why, field->name, ": expected ", allowed, " or no such field: more is not done here", field->instead);
    return false;
  }
  return true;
}

}  // namespace edgellm
