#include "base/json_writer.h"

namespace edgellm {

static void to_writer(void* writer, Text text) {
  static_cast<Writer*>(writer)->add(text);
}

JsonWriter::JsonWriter(Writer& to) : JsonWriter(to_writer, &to) {}

// A letter stands for it behind a backslash, or 0.
static char short_escape(char c) {
  switch (c) {
    case '"':
    case '\\':
      return c;
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 0;
  }
}

void JsonWriter::quoted(Text text) {
  put("\"");
  i64 plain = 0;  // where what needs no escape begins
  for (i64 i = 0; i < text.size; i++) {
    u8 c = static_cast<u8>(text[i]);
    char letter = short_escape(text[i]);
    if (!letter && c >= 0x20) continue;
    if (plain < i) put(text.slice(plain, i - plain));
    plain = i + 1;
    char buffer[8];
    Writer escape(buffer);
    escape.add('\\');
    if (letter) {
      escape.add(letter);
    } else {
      escape.add('u').add(Hex{c, 4});
    }
    put(escape.text());
  }
  if (plain < text.size) put(text.from(plain));
  put("\"");
}

void JsonWriter::name(Text key) {
  if (!first_) put(",");
  first_ = false;
  if (key.size == 0) return;
  quoted(key);
  put(":");
}

void JsonWriter::text(Text key, Text value) {
  name(key);
  quoted(value);
}

void JsonWriter::number(Text key, i64 value) {
  char buffer[24];
  name(key);
  put(Writer(buffer).add(value).text());
}

void JsonWriter::whole(Text key, u64 value) {
  char buffer[24];
  name(key);
  put(Writer(buffer).add(value).text());
}

void JsonWriter::numbers(Text key, Span<const i32> values) {
  open_list(key);
  for (i32 value : values)
    number({}, value);
  close_list();
}

void JsonWriter::real(Text key, Fixed value) {
  char buffer[40];  // 20 digits, a point and 9, a sign, an exponent
  name(key);
  bool finite = value.value - value.value == 0;
  put(finite ? Writer(buffer).add(value).text() : Text("null"));
}

void JsonWriter::flag(Text key, bool value) {
  name(key);
  put(value ? "true" : "false");
}

void JsonWriter::null(Text key) {
  name(key);
  put("null");
}

void JsonWriter::open(Text key) {
  name(key);
  put("{");
  first_ = true;
}

void JsonWriter::close() {
  put("}");
  first_ = false;
}

void JsonWriter::open_list(Text key) {
  name(key);
  put("[");
  first_ = true;
}

void JsonWriter::close_list() {
  put("]");
  first_ = false;
}

}  // namespace edgellm
