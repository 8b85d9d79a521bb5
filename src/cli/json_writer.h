// Writing one JSON object to a descriptor, key by key.
#pragma once
#include "platform/console.h"

namespace edgellm {

class JsonWriter {
 public:
  explicit JsonWriter(i32 fd) : out_(fd) { out_.add("{"); }

  void text(Text key, Text value);
  void number(Text key, i64 value);
  void numbers(Text key, Span<const i32> values);
  void real(Text key, Fixed value);  // null when it is not finite
  void flag(Text key, bool value);
  void open(Text key);  // an object inside
  void close();
  void open_list(Text key);  // what is in it has no key: an empty one
  void close_list();
  bool finish();

 private:
  void name(Text key);
  void quoted(Text text);

  Output out_;
  bool first_ = true;
};

}  // namespace edgellm
