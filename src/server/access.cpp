#include "server/access.h"

#include <string.h>

namespace edgellm {

// Visible ASCII.
static bool is_key_byte(char c) {
  return c > ' ' && c < 0x7f;
}

static Text trimmed_line(Text line) {
  constexpr Text white = " \t\r";
  while (line.size && memchr(white.data, line[0], 3))
    line = line.from(1);
  while (line.size && memchr(white.data, line[line.size - 1], 3))
    line.size--;
  return line;
}

static Status read_key(Text line, const char* name, i64 number, ApiKey* key) {
  for (i64 i = 0; i < line.size; i++) {
    if (is_key_byte(line[i])) continue;
    return usage_error(name, " line ", number, ": a key is visible ASCII characters without a space between them");
  }
  if (line.size > API_KEY_BYTES) {
    return usage_error(name, " line ", number, ": a key of ", line.size, " characters; at most ", API_KEY_BYTES);
  }
  *key = {};
  memcpy(key->bytes, line.data, static_cast<size_t>(line.size));
  key->size = line.size;
  return {};
}

Status read_api_keys(Text text, const char* name, Span<ApiKey> room, i64* count) {
  *count = 0;
  for (i64 number = 1; text.size > 0; number++) {
    const void* end = memchr(text.data, '\n', static_cast<size_t>(text.size));
    i64 size = end ? static_cast<const char*>(end) - text.data : text.size;
    Text line = trimmed_line(text.slice(0, size));
    text = text.from(min(size + 1, text.size));
    if (line.size == 0 || line[0] == '#') continue;
    if (*count == room.count) return usage_error(name, " line ", number, ": more than ", room.count, " keys");
    EDGELLM_TRY(read_key(line, name, number, &room[*count]));
    *count += 1;
  }
  if (*count == 0) return usage_error(name, ": no key in it; one in each line is expected");
  return {};
}

bool is_origin(Text text) {
  if (text == "*") return true;
  i64 scheme = 0;
  while (scheme < text.size && text[scheme] != ':')
    scheme++;
  if (scheme == 0 || text.size < scheme + 4 || !(text.slice(scheme, 3) == "://")) return false;
  for (i64 i = 0; i < text.size; i++) {
    bool upper = text[i] >= 'A' && text[i] <= 'Z';  // browsers send none
    if (!is_key_byte(text[i]) || upper || (i >= scheme + 3 && strchr("/?#@,", text[i]))) return false;
  }
  return true;
}

// Every byte of every key is looked at, whatever was found before. `volatile`: a compiler that knows how this ends may not stop.
static bool is_known(Span<const ApiKey> keys, Text sent) {
  char padded[API_KEY_BYTES] = {};
  memcpy(padded, sent.data, static_cast<size_t>(min(sent.size, API_KEY_BYTES)));
  volatile u32 known = 0;
  for (const ApiKey& key : keys) {
    volatile u32 different = key.size != sent.size;
    for (i64 i = 0; i < API_KEY_BYTES; i++)
      different = different | static_cast<u32>(padded[i] ^ key.bytes[i]);
    known = known | (different == 0);
  }
  return known != 0;
}

static Text bearer(Text value) {
  constexpr Text scheme = "bearer ";
  if (value.size < scheme.size || !equal_ignoring_case(value.slice(0, scheme.size), scheme)) return {};
  value = value.from(scheme.size);
  while (value.size && value[0] == ' ')
    value = value.from(1);
  return value;
}

bool may_ask(const Access& access, const HttpRequest& request) {
  if (access.keys.count == 0) return true;
  const HttpField* authorization = http_field(request, "authorization");
  const HttpField* key = http_field(request, "x-api-key");
  bool by_bearer = authorization && is_known(access.keys, bearer(authorization->value));
  return (key && is_known(access.keys, key->value)) || by_bearer;
}

Text allowed_origin(const Access& access, const HttpRequest& request) {
  const HttpField* origin = http_field(request, "origin");
  if (!origin) return {};
  for (Text allowed : access.origins) {
    if (allowed == "*" || allowed == origin->value) return allowed;
  }
  return {};
}

}  // namespace edgellm
