#include "server/json.h"

#include <string.h>

#include "text/unicode.h"

namespace edgellm {

namespace {

bool is_digit(i32 c) {
  return c >= '0' && c <= '9';
}

i32 hex_value(i32 c) {
  if (is_digit(c)) return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Each function goes on where the one before stopped. False: it was refused.
class JsonReader {
 public:
  JsonReader(Span<char> text, Span<JsonNode> nodes) : in_(text), nodes_(nodes) {}

  Status read() {
    if (value() && next() >= 0) expected("the end of the text");
    return status_;
  }

 private:
  // The byte at `at_`, or -1 at the end.
  i32 here() const { return at_ < in_.count ? static_cast<u8>(in_[at_]) : -1; }

  // Behind white space.
  i32 next() {
    while (here() == ' ' || here() == '\n' || here() == '\r' || here() == '\t')
      at_++;
    return here();
  }

  bool expected(Text what) {
    char buffer[32];
    Writer got(buffer);
    i32 c = here();
    if (c < 0) {
      got.add("the end");
    } else if (c > ' ' && c < 0x7f) {
      write(got, "'", static_cast<char>(c), "'");
    } else {
      write(got, "byte 0x", Hex{static_cast<u64>(c), 2});
    }
    return refuse("expected ", what, ", got ", got.text());
  }

  template <class... Args>
  bool refuse(const Args&... args) {
    status_ = usage_error("not JSON at byte ", at_, ": ", args...);
    return false;
  }

  JsonNode* take(JsonKind kind);
  bool value();
  bool word(Text word, JsonKind kind);
  bool number();
  bool digits();
  bool string();
  bool escape(char** to);
  bool hex(u32* unit);
  bool list();
  bool object();
  bool member(JsonNode* object, i64 key);
  void link(i64* before, i64 node);

  Span<char> in_;
  Span<JsonNode> nodes_;
  Status status_;
  i64 at_ = 0;
  i64 count_ = 0;  // of nodes
  i32 depth_ = 0;
};

JsonNode* JsonReader::take(JsonKind kind) {
  if (count_ == nodes_.count) {
    refuse("more than ", nodes_.count, " values and keys");
    return nullptr;
  }
  JsonNode* node = &nodes_[count_++];
  *node = {in_.data + at_, 0, 0, kind};
  return node;
}

bool JsonReader::value() {
  switch (next()) {
    case '{':
      return object();
    case '[':
      return list();
    case '"':
      return string();
    case 't':
      return word("true", JsonKind::boolean);
    case 'f':
      return word("false", JsonKind::boolean);
    case 'n':
      return word("null", JsonKind::null);
    default:
      return number();
  }
}

bool JsonReader::word(Text word, JsonKind kind) {
  JsonNode* node = take(kind);
  if (!node) return false;
  for (i64 i = 0; i < word.size; i++, at_++) {
    if (here() != static_cast<u8>(word[i])) return expected(word);
  }
  node->size = static_cast<u32>(word.size);
  return true;
}

bool JsonReader::digits() {
  if (!is_digit(here())) return expected("a digit");
  while (is_digit(here()))
    at_++;
  return true;
}

bool JsonReader::number() {
  if (here() != '-' && !is_digit(here())) return expected("a value");
  i64 start = at_;
  JsonNode* node = take(JsonKind::number);
  if (!node) return false;
  if (here() == '-') at_++;
  if (here() == '0') {
    at_++;  // and no digit may follow
  } else if (!digits()) {
    return false;
  }
  if (here() == '.') {
    at_++;
    if (!digits()) return false;
  }
  if (here() == 'e' || here() == 'E') {
    at_++;
    if (here() == '+' || here() == '-') at_++;
    if (!digits()) return false;
  }
  node->size = static_cast<u32>(at_ - start);
  return true;
}

// What was read is behind what is written: no escape is shorter than its character.
bool JsonReader::string() {
  JsonNode* node = take(JsonKind::string);
  if (!node) return false;
  at_++;
  char* to = in_.data + at_;
  node->data = to;
  for (i32 c; (c = here()) != '"';) {
    if (c == '\\') {
      if (!escape(&to)) return false;
      continue;
    }
    if (c < 0) return expected("'\"' at the end of a string");
    if (c < 0x20) return expected("an escape for a control character");
    if (c < 0x80) {
      *to++ = static_cast<char>(c);
      at_++;
      continue;
    }
    i32 length = utf8_length(in_.data + at_, in_.count - at_);
    if (length <= 0) return expected("UTF-8");
    memmove(to, in_.data + at_, static_cast<size_t>(length));
    to += length;
    at_ += length;
  }
  at_++;
  node->size = static_cast<u32>(to - node->data);
  return true;
}

bool JsonReader::hex(u32* unit) {
  *unit = 0;
  for (i32 i = 0; i < 4; i++, at_++) {
    i32 digit = hex_value(here());
    if (digit < 0) return expected("four hexadecimal digits behind \\u");
    *unit = *unit << 4 | static_cast<u32>(digit);
  }
  return true;
}

bool JsonReader::escape(char** to) {
  constexpr Text letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
  i64 start = at_++;
  i32 c = here();
  for (i64 i = 0; i < letters.size; i++) {
    if (c != letters[i]) continue;
    at_++;
    *(*to)++ = meanings[i];
    return true;
  }
  if (c != 'u') return expected("one of \"\\/bfnrtu behind \\");
  at_++;
  u32 point, low = 0;
  if (!hex(&point)) return false;
  if (point >= 0xd800 && point < 0xe000) {
    bool pair = point < 0xdc00 && here() == '\\' && at_ + 1 < in_.count && in_[at_ + 1] == 'u';
    if (pair) {
      at_ += 2;
      if (!hex(&low)) return false;
    }
    if (low < 0xdc00 || low >= 0xe000) {
      at_ = start;
      return refuse("half a surrogate pair: expected \\ud800 to \\udbff and \\udc00 to \\udfff");
    }
    point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
  }
  *to += utf8_encode(point, *to);
  return true;
}

void JsonReader::link(i64* before, i64 node) {
  if (*before >= 0) nodes_[*before].next = static_cast<u32>(node - *before);
  *before = node;
}

bool JsonReader::list() {
  JsonNode* self = take(JsonKind::list);
  if (!self) return false;
  if (depth_ == JSON_DEPTH) return refuse("more than ", JSON_DEPTH, " lists and objects in each other");
  depth_++;
  at_++;
  i64 before = -1;
  bool more = next() != ']';
  while (more) {
    i64 element = count_;
    if (!value()) return false;
    link(&before, element);
    self->size++;
    i32 c = next();
    if (c != ',' && c != ']') return expected("',' or ']'");
    more = c == ',';
    at_ += more;
  }
  at_++;
  depth_--;
  return true;
}

bool JsonReader::object() {
  JsonNode* self = take(JsonKind::object);
  if (!self) return false;
  if (depth_ == JSON_DEPTH) return refuse("more than ", JSON_DEPTH, " lists and objects in each other");
  depth_++;
  at_++;
  i64 before = -1;
  bool more = next() != '}';
  while (more) {
    i64 key = count_;
    if (!member(self, key)) return false;
    link(&before, key);
    i32 c = next();
    if (c != ',' && c != '}') return expected("',' or '}'");
    more = c == ',';
    at_ += more;
  }
  at_++;
  depth_--;
  return true;
}

bool JsonReader::member(JsonNode* object, i64 key) {
  if (next() != '"') return expected("'\"' at the start of a key");
  if (object->size == JSON_MEMBERS) return refuse("more than ", JSON_MEMBERS, " members in an object");
  i64 start = at_;
  if (!string()) return false;
  Text name = nodes_[key].text();
  for (const JsonNode* k = object->size > 0 ? object + 1 : nullptr; k; k = json_next(*k)) {
    if (k->size == name.size && memcmp(k->data, name.data, static_cast<size_t>(name.size)) == 0) {
      at_ = start;
      return refuse("this key is in the object twice");
    }
  }
  object->size++;
  if (next() != ':') return expected("':' behind a key");
  at_++;
  return value();
}

}  // namespace

Status parse_json(Span<char> text, Span<JsonNode> nodes) {
  if (text.count > INT32_MAX) return usage_error("JSON of ", text.count, " bytes, at most ", INT32_MAX, " are read");
  return JsonReader(text, nodes).read();
}

const JsonNode* json_first(const JsonNode& parent) {
  bool has = (parent.kind == JsonKind::list || parent.kind == JsonKind::object) && parent.size > 0;
  return has ? &parent + 1 : nullptr;
}

const JsonNode* json_next(const JsonNode& node) {
  return node.next ? &node + node.next : nullptr;
}

JsonField json_field(const JsonNode& object, Text key) {
  const JsonNode* found = object.kind == JsonKind::object ? json_first(object) : nullptr;
  while (found && !(found->text() == key))
    found = json_next(*found);
  bool there = found && found[1].kind != JsonKind::null;
  return {key, there ? found + 1 : nullptr};
}

const JsonNode* json_unknown(const JsonNode& object, Span<const Text> known) {
  for (const JsonNode* key = json_first(object); key; key = json_next(*key)) {
    bool found = false;
    for (Text name : known)
      found |= key->text() == name;
    if (!found) return key;
  }
  return nullptr;
}

}  // namespace edgellm
