#include "server/error_body.h"

#include "base/json_writer.h"

namespace edgellm {

struct ErrorType {
  i32 status;
  const char *type, *code;
};

// As OpenAI answers them; each status that is not here is the fault of the request below 500, and the server's from there.
constexpr ErrorType TYPES[] = {
    {401, "authentication_error", "invalid_api_key"},
    {403, "permission_error", nullptr},
    {429, "requests", "rate_limit_exceeded"},
};

static ErrorType type_of(i32 status) {
  for (const ErrorType& type : TYPES) {
    if (type.status == status) return type;
  }
  return {status, status < 500 ? "invalid_request_error" : "server_error", nullptr};
}

static bool begins_with(Text text, Text prefix) {
  return text.size >= prefix.size && text.slice(0, prefix.size) == prefix;
}

static void text_or_null(JsonWriter& json, Text key, Text value) {
  value.size ? json.text(key, value) : json.null(key);
}

void write_error_body(Writer& to, Text path, const HttpError& error) {
  JsonWriter json(to);
  json.open({});
  if (begins_with(path, "/v1/") && !begins_with(path, "/v1/edge/")) {
    ErrorType type = type_of(error.status);
    json.open("error");
    json.text("message", error.message);
    json.text("type", type.type);
    text_or_null(json, "param", error.param);
    text_or_null(json, "code", error.code.size || !type.code ? error.code : Text(type.code));
    json.close();
  } else {
    json.text("error", error.message);
    if (path == "/generate") json.text("status", "error");
  }
  json.close();
}

}  // namespace edgellm
