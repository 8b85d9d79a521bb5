#include "cli/json.h"

namespace edgellm {

void Json::quoted(Text text) {
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

void Json::name(Text key) {
  if (!first_) out_.add(",");
  first_ = false;
  quoted(key);
  out_.add(":");
}

void Json::text(Text key, Text value) {
  name(key);
  quoted(value);
}

void Json::number(Text key, i64 value) {
  name(key);
  out_.add(value);
}

void Json::real(Text key, f64 value, i32 decimals) {
  name(key);
  bool finite = value - value == 0;
  if (finite) {
    out_.add(Fixed{value, decimals});
  } else {
    out_.add("null");
  }
}

void Json::open(Text key) {
  name(key);
  out_.add("{");
  first_ = true;
}

void Json::close() {
  out_.add("}");
  first_ = false;
}

bool Json::finish() {
  out_.add("}\n");
  return out_.flush();
}

}  // namespace edgellm
