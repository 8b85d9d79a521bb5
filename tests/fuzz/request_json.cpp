// The JSON of a request: what is read in place is what the converter's reader finds, written and read again it is the same, and every
// node and character lies where it should.
#include <stdlib.h>

#include <string>
#include <vector>

#include "base/decimal.h"
#include "base/json_writer.h"
#include "convert/base/error.h"
#include "convert/base/json.h"
#include "server/json.h"
#include "text/unicode.h"

using namespace edgellm;
using convert::Json;

static constexpr i64 NODES = 200;

static void require(bool holds) {
  if (!holds) abort();
}

static bool is_utf8(Text text) {
  for (i64 at = 0; at < text.size;) {
    const i32 length = utf8_length(text.data + at, text.size - at);
    if (length <= 0) return false;
    at += length;
  }
  return true;
}

static std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

static void same(const JsonNode& node, const Json& other) {
  switch (node.kind) {
    case JsonKind::null:
      return require(other.is_null());
    case JsonKind::boolean:
      return require(other.boolean() && *other.boolean() == (node.size == 4));
    case JsonKind::number: {
      i64 whole = 0;
      require(other.number() && *other.number() == nearest_f64(node.text()));
      if (read_integer({"x", &node}, -1000000, 1000000, &whole).ok()) require(*other.number() == static_cast<f64>(whole));
      return;
    }
    case JsonKind::string:
      return require(other.string() && *other.string() == string_of(node.text()) && is_utf8(node.text()));
    case JsonKind::list: {
      require(other.array() && other.array()->size() == node.size);
      size_t i = 0;
      for (const JsonNode* element = json_first(node); element; element = json_next(*element))
        same(*element, (*other.array())[i++]);
      return require(i == node.size);
    }
    case JsonKind::object: {
      require(other.object() && other.object()->size() == node.size);
      size_t i = 0;
      for (const JsonNode* key = json_first(node); key; key = json_next(*key), i++) {
        require(string_of(key->text()) == (*other.object())[i].first);
        same(key[1], (*other.object())[i].second);
        const JsonField found = json_field(node, key->text());
        require(found.value == (key[1].kind == JsonKind::null ? nullptr : key + 1));
      }
      return require(i == node.size);
    }
  }
}

// Some number is not zero and no f64 is near it, so that the other reader refuses the text.
static bool has_extreme(const JsonNode& node) {
  bool any = false;
  if (node.kind == JsonKind::number) {
    const f64 value = nearest_f64(node.text());
    const std::string digits = string_of(node.text()).substr(0, string_of(node.text()).find_first_of("eE"));
    return value - value != 0 || (value == 0 && digits.find_first_of("123456789") != std::string::npos);
  }
  for (const JsonNode* child = json_first(node); child; child = json_next(*child))
    any |= has_extreme(node.kind == JsonKind::object ? child[1] : *child);
  return any;
}

// Numbers as text, which keeps their spelling. The writer has no empty keys, so each gets a letter in front.
static void write_again(JsonWriter& json, const JsonNode& node, Text key) {
  const bool list = node.kind == JsonKind::list;
  if (!list && node.kind != JsonKind::object) return json.text(key, node.text());
  list ? json.open_list(key) : json.open(key);
  for (const JsonNode* child = json_first(node); child; child = json_next(*child)) {
    const std::string key_again = "k" + string_of(child->text());
    write_again(json, list ? *child : child[1], list ? Text() : Text(key_again.data(), static_cast<i64>(key_again.size())));
  }
  list ? json.close_list() : json.close();
}

static void same_again(const JsonNode& node, const JsonNode& again) {
  require(node.size == again.size && node.next == again.next);
  if (node.kind == JsonKind::list || node.kind == JsonKind::object) {
    require(node.kind == again.kind);
    for (const JsonNode *a = json_first(node), *b = json_first(again); a; a = json_next(*a), b = json_next(*b)) {
      const bool list = node.kind == JsonKind::list;
      if (!list) require("k" + string_of(a->text()) == string_of(b->text()) && a->next == b->next);
      same_again(list ? *a : a[1], list ? *b : b[1]);
    }
    return;
  }
  require(again.kind == JsonKind::string && node.text() == again.text());
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<char> copy(data, data + size);
  std::vector<JsonNode> nodes(NODES), again(NODES);
  const Status status = parse_json({copy.data(), static_cast<i64>(size)}, {nodes.data(), NODES});
  if (!status.ok()) return 0;
  try {  // every text that is taken here is taken there
    same(nodes[0], convert::parse_json({reinterpret_cast<const char*>(data), size}, "input"));
  } catch (const convert::Error&) {
    require(has_extreme(nodes[0]));
  }
  std::vector<char> buffer(size * 6 + 100);
  Writer writer(buffer.data(), static_cast<i64>(buffer.size()));
  JsonWriter json(writer);
  write_again(json, nodes[0], {});
  require(!writer.cut());
  const Status second = parse_json({buffer.data(), writer.text().size}, {again.data(), NODES});
  require(second.ok());
  same_again(nodes[0], again[0]);
  return 0;
}
