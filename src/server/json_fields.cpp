// What a field of a request may be, and the words for what it may not.
#include <assert.h>

#include "base/decimal.h"
#include "server/json.h"
#include "text/unicode.h"

namespace edgellm {

// How a value is named in an error: short, and cut between two characters.
static void describe(Writer& to, const JsonNode& node) {
  constexpr i64 most = 40;
  if (node.kind == JsonKind::list || node.kind == JsonKind::object) {
    to.add(node.kind == JsonKind::list ? "a list" : "an object");
    return;
  }
  Text text = node.text();
  i64 size = 0;
  while (size < text.size) {
    i32 length = utf8_length(text.data + size, text.size - size);
    if (size + length > most) break;
    size += length;
  }
  Text quote = node.kind == JsonKind::string ? "\"" : "";
  write(to, quote, text.slice(0, size), size < text.size ? "..." : "", quote);
}

Status expected(JsonField field, Text what) {
  char buffer[64];
  Writer got(buffer);
  describe(got, *field.value);
  return usage_error(field.name, ": expected ", what, ", got ", got.text());
}

// With as many decimals as a limit has, which is ours.
static Fixed limit(f64 value) {
  i32 decimals = 0;
  assert(value > -1e9 && value < 1e9);
  for (f64 scaled = value; decimals < 9 && scaled != static_cast<f64>(static_cast<i64>(scaled)); decimals++)
    scaled *= 10;
  return {value, decimals};
}

static bool add_digit(u64* number, u64 digit) {
  if (*number > (~u64{0} - digit) / 10) return false;
  *number = *number * 10 + digit;
  return true;
}

// Of a number's exponent; beyond a thousand it does not matter.
static i64 exponent_of(Text text) {
  const bool negative = text.size && text[0] == '-';
  i64 value = 0;
  for (i64 i = negative || (text.size && text[0] == '+'); i < text.size; i++)
    value = min<i64>(1000, value * 10 + text[i] - '0');
  return negative ? -value : value;
}

// A number whose value is whole, exactly, however it is written (16, 16.0, 1.6e1): its sign, and its magnitude if at most `most`.
static bool parse_integer(const JsonNode& node, u64 most, bool* negative, u64* magnitude) {
  if (node.kind != JsonKind::number) return false;
  const Text text = node.text();
  *negative = text[0] == '-';
  *magnitude = 0;
  i64 at = *negative, zeros = 0;
  bool fraction = false;
  for (; at < text.size && (text[at] | 0x20) != 'e'; at++) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    if (!add_digit(magnitude, static_cast<u64>(text[at] - '0'))) return false;
    zeros -= fraction;
  }
  if (at < text.size) zeros += exponent_of(text.from(at + 1));
  for (; zeros > 0; zeros--) {
    if (!add_digit(magnitude, 0)) return false;
  }
  for (; zeros < 0; zeros++) {
    if (*magnitude % 10) return false;
    *magnitude /= 10;
  }
  return *magnitude <= most;
}

Status read_integer(JsonField field, i64 low, i64 high, i64* value) {
  if (!field.value) return {};
  bool negative;
  u64 magnitude;
  constexpr u64 largest = INT64_MAX;
  bool ok = parse_integer(*field.value, largest + 1, &negative, &magnitude) && (negative || magnitude <= largest);
  i64 parsed = ok ? static_cast<i64>(negative ? 0 - magnitude : magnitude) : 0;
  if (!ok || parsed < low || parsed > high) {
    char buffer[80];
    Writer what(buffer);
    return expected(field, write(what, "an integer from ", low, " to ", high).text());
  }
  *value = parsed;
  return {};
}

Status read_whole(JsonField field, u64 high, u64* value) {
  if (!field.value) return {};
  bool negative;
  u64 magnitude;
  if (!parse_integer(*field.value, high, &negative, &magnitude) || (negative && magnitude > 0)) {
    char buffer[64];
    Writer what(buffer);
    return expected(field, write(what, "an integer from 0 to ", high).text());
  }
  *value = magnitude;
  return {};
}

Status read_real(JsonField field, f64 low, f64 high, f64* value) {
  if (!field.value) return {};
  bool ok = field.value->kind == JsonKind::number;
  f64 parsed = ok ? nearest_f64(field.value->text()) : 0;
  if (!ok || parsed < low || parsed > high) {
    char buffer[128];
    Writer what(buffer);
    return expected(field, write(what, "a number from ", limit(low), " to ", limit(high)).text());
  }
  *value = parsed;
  return {};
}

Status read_boolean(JsonField field, bool* value) {
  if (!field.value) return {};
  if (field.value->kind != JsonKind::boolean) return expected(field, "true or false");
  *value = field.value->size == 4;
  return {};
}

Status read_string(JsonField field, Text* value) {
  if (!field.value) return {};
  if (field.value->kind != JsonKind::string) return expected(field, "a string");
  *value = field.value->text();
  return {};
}

Status read_list(JsonField field, const JsonNode** value) {
  if (!field.value) return {};
  if (field.value->kind != JsonKind::list) return expected(field, "a list");
  *value = field.value;
  return {};
}

Status read_object(JsonField field, const JsonNode** value) {
  if (!field.value) return {};
  if (field.value->kind != JsonKind::object) return expected(field, "an object");
  *value = field.value;
  return {};
}

Status refuse_unknown(const JsonNode& object, Span<const Text> known) {
  const JsonNode* unknown = json_unknown(object, known);
  if (!unknown) return {};
  char got[64], names[256];
  Writer key(got), list(names);
  describe(key, *unknown);
  for (Text name : known)
    write(list, list.text().size ? ", " : "", name);
  return usage_error("unknown field ", key.text(), "; there are ", list.text());
}

}  // namespace edgellm
