// What the caller ends a text with. Stop strings over a stream of text: what might yet become one is held back until it is
// decided. Stop ids beside those of the model.
#pragma once
#include "base/types.h"

namespace edgellm {

class StopStrings {
 public:
  static constexpr i32 MAX_STRINGS = 16;
  static constexpr i64 MAX_BYTES = 256;  // of one string

  // False when there are too many, or it is empty or too long. The bytes must outlive this.
  bool add(Text text);
  Span<const Text> texts() const { return {strings_, count_}; }

  // A new stream begins.
  void reset();

  // Takes more text and gives what may be printed to sink(context, text), in one call for each 253 bytes or less, of whole characters
  // where the text and the strings are. True once a stop string was seen: the text before it has been given, what follows is dropped.
  using Sink = void (*)(void* context, Text text);
  bool push(Text text, Sink sink, void* context);

  // The end of the stream: gives what was held back.
  void finish(Sink sink, void* context);

 private:
  static constexpr i64 MAX_HELD = 2 * MAX_BYTES;

  bool push_byte(char byte);
  i64 undecided(bool stop) const;

  Text strings_[MAX_STRINGS];
  i64 matched_[MAX_STRINGS] = {};  // bytes of each string that end the stream so far (Knuth, Morris, Pratt)
  i32 count_ = 0;
  char held_[MAX_HELD];
  i64 held_count_ = 0;
};

class StopIds {
 public:
  static constexpr i32 MAX_IDS = 16;  // that somebody names; as many more may stand for stop strings

  // False when there are too many.
  bool add(i32 id) {
    if (count_ == MAX_IDS + StopStrings::MAX_STRINGS) return false;
    ids_[count_++] = id;
    return true;
  }
  bool has(i32 id) const {
    for (i32 stop : ids()) {
      if (stop == id) return true;
    }
    return false;
  }
  Span<const i32> ids() const { return {ids_, count_}; }

 private:
  i32 ids_[MAX_IDS + StopStrings::MAX_STRINGS];
  i32 count_ = 0;
};

}  // namespace edgellm
