#include "cli/json_writer.h"

namespace edgellm {

void JsonWriter::quoted(Text text) {
  out_.add("\"");
  for (i64 i = 0; i < text.size; i++) {
    u8 c = static_cast<u8>(text[i]);
    if (c == '"' || c == '\\') {
      out_.add("\\");
      out_.add(text.slice(i, 1));
    } else if (c < 0x20) {
      out_.add("\\u");
      out_.add(Hex{c, 4});
    } else {
      out_.add(text.slice(i, 1));
    }
  }
  out_.add("\"");
}

void JsonWriter::name(Text key) {
  if (!first_) out_.add(",");
  first_ = false;
  if (key.size == 0) return;
  quoted(key);
  out_.add(":");
}

void JsonWriter::text(Text key, Text value) {
  name(key);
  quoted(value);
}

void JsonWriter::number(Text key, i64 value) {
  name(key);
  out_.add(value);
}

void JsonWriter::numbers(Text key, Span<const i32> values) {
  open_list(key);
  for (i32 value : values)
    number({}, value);
  close_list();
}

void JsonWriter::real(Text key, Fixed value) {
  name(key);
  bool finite = value.value - value.value == 0;
  if (finite) {
    out_.add(value);
  } else {
    out_.add("null");
  }
}

void JsonWriter::flag(Text key, bool value) {
  name(key);
  out_.add(value ? "true" : "false");
}

void JsonWriter::open(Text key) {
  name(key);
  out_.add("{");
  first_ = true;
}

void JsonWriter::close() {
  out_.add("}");
  first_ = false;
}

void JsonWriter::open_list(Text key) {
  name(key);
  out_.add("[");
  first_ = true;
}

void JsonWriter::close_list() {
  out_.add("]");
  first_ = false;
}

bool JsonWriter::finish() {
  out_.add("}\n");
  return out_.flush();
}

}  // namespace edgellm
