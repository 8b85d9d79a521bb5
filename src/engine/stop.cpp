#include "engine/stop.h"

namespace edgellm {

bool StopStrings::add(Text text) {
  if (count_ == MAX_STRINGS || text.size == 0 || text.size > MAX_BYTES) return false;
  strings_[count_++] = text;
  return true;
}

void StopStrings::reset() {
  for (i64& matched : matched_)
    matched = 0;
  held_count_ = 0;
}

// Longest prefix of `text` shorter than `matched` that is also a suffix of its first `matched` bytes.
static i64 border(Text text, i64 matched) {
  for (i64 length = matched - 1; length > 0; length--) {
    if (text.slice(0, length) == text.slice(matched - length, length)) return length;
  }
  return 0;
}

// True when a stop string ends with this byte.
bool StopStrings::push_byte(char byte) {
  bool stop = false;
  for (i32 i = 0; i < count_; i++) {
    i64& matched = matched_[i];
    while (matched > 0 && strings_[i][matched] != byte)
      matched = border(strings_[i], matched);
    if (strings_[i][matched] == byte) matched++;
    stop |= matched == strings_[i].size;
  }
  return stop;
}

// Bytes at the end of the stream that may be the beginning of a stop string.
i64 StopStrings::undecided() const {
  i64 longest = 0;
  for (i32 i = 0; i < count_; i++)
    longest = max(longest, matched_[i]);
  return longest;
}

bool StopStrings::push(Text text, Sink sink, void* context) {
  if (count_ == 0) {
    sink(context, text);
    return false;
  }
  for (i64 i = 0; i < text.size; i++) {
    held_[held_count_++] = text[i];
    bool stop = push_byte(text[i]);
    // Characters are given whole.
    bool inside = i + 1 < text.size && (text[i + 1] & 0xc0) == 0x80;
    if (!stop && inside && held_count_ < MAX_HELD) continue;
    // When a string is complete, what stands before the longest complete one is decided.
    i64 keep = undecided();
    if (held_count_ > keep) {
      sink(context, {held_, held_count_ - keep});
      for (i64 j = 0; j < keep; j++)
        held_[j] = held_[held_count_ - keep + j];
      held_count_ = keep;
    }
    if (stop) {
      // A longer string may still have been open when a shorter one ended: give what stands before the shorter one.
      i64 ended = 0;
      for (i32 s = 0; s < count_; s++) {
        if (matched_[s] == strings_[s].size) ended = max(ended, strings_[s].size);
      }
      sink(context, {held_, held_count_ - ended});
      held_count_ = 0;
      return true;
    }
  }
  return false;
}

void StopStrings::finish(Sink sink, void* context) {
  sink(context, {held_, held_count_});
  held_count_ = 0;
}

}  // namespace edgellm
