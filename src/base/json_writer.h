// Writing JSON, value by value, to whatever takes text. Commas and colons come by themselves. Every value in an object has a key;
// one in a list, or that stands alone, has an empty one.
#pragma once
#include "base/format.h"

namespace edgellm {

class JsonWriter {
 public:
  using Sink = void (*)(void* context, Text text);
  JsonWriter(Sink sink, void* context) : sink_(sink), context_(context) {}
  explicit JsonWriter(Writer& to);  // which says afterwards whether it had room for all (Writer::cut)

  void open(Text key);  // an object
  void close();
  void open_list(Text key);
  void close_list();
  void text(Text key, Text value);  // UTF-8
  void number(Text key, i64 value);
  void whole(Text key, u64 value);
  void numbers(Text key, Span<const i32> values);
  void real(Text key, Fixed value);  // null when it is not finite
  void flag(Text key, bool value);
  void null(Text key);

 private:
  void put(Text text) { sink_(context_, text); }
  void name(Text key);
  void quoted(Text text);

  Sink sink_;
  void* context_;
  bool first_ = true;  // of the innermost object or list
};

}  // namespace edgellm
