// Reading JSON (RFC 8259) without allocation: a text becomes nodes in the caller's array. Strings are unescaped where they stand,
// so the text changes; it must live as long as the nodes.
//
// Nothing is guessed and nothing is dropped. A text is one value, UTF-8 throughout, with escapes for control characters, whole
// surrogate pairs, numbers of the grammar, no key twice in an object, and nothing behind its end.
#pragma once
#include "base/status.h"

namespace edgellm {

enum class JsonKind : u8 { null, boolean, number, string, list, object };

// A list is followed by its elements, an object by a string and a value for each member.
struct JsonNode {
  const char* data = nullptr;  // of a string: its characters; of what is no list and no object: as it is written
  u32 size = 0;                // bytes there; of a list or an object: its elements or members
  u32 next = 0;                // nodes from here to the next element, or from a key to the next key; 0 behind the last
  JsonKind kind = JsonKind::null;

  Text text() const { return {data, static_cast<i64>(size)}; }  // no list, no object
};

constexpr i32 JSON_DEPTH = 64;      // lists and objects in each other
constexpr u32 JSON_MEMBERS = 1024;  // of one object: each key is compared with all before it

// The value of the whole text is nodes[0]. An error names the byte, counted from 0, what is expected there and what is there.
Status parse_json(Span<char> text, Span<JsonNode> nodes);

// The first element of a list, or key of an object (its value is the node behind it), and those that follow; null at the end.
const JsonNode* json_first(const JsonNode& parent);
const JsonNode* json_next(const JsonNode& node);

// A value and how errors call it.
struct JsonField {
  Text name;
  const JsonNode* value = nullptr;  // null: there is none
};

// A member that is absent or null has no value. No member where `object` is none.
JsonField json_field(const JsonNode& object, Text key);

// The first key that is not among the known ones; null when there is none.
const JsonNode* json_unknown(const JsonNode& object, Span<const Text> known);

// Each leaves *value alone where the field has none. An error names the field, what is expected and what is there.
Status read_integer(JsonField field, i64 low, i64 high, i64* value);
Status read_whole(JsonField field, u64 high, u64* value);  // from 0
Status read_real(JsonField field, f64 low, f64 high, f64* value);
Status read_boolean(JsonField field, bool* value);
Status read_string(JsonField field, Text* value);
Status read_list(JsonField field, const JsonNode** value);
Status read_object(JsonField field, const JsonNode** value);

// The error of a value that is something else than `what`.
Status expected(JsonField field, Text what);

// An error that names the first key that is not among the known ones, and these.
Status refuse_unknown(const JsonNode& object, Span<const Text> known);

}  // namespace edgellm
