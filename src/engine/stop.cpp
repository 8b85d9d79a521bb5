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

// Bytes at the end of the stream that may be the beginning of a stop string; where one is complete, those of the longest that is.
i64 StopStrings::undecided(bool stop) const {
  i64 longest = 0;
  for (i32 i = 0; i < count_; i++) {
    if (!stop || matched_[i] == strings_[i].size) longest = max(longest, matched_[i]);
  }
  return longest;
}

bool StopStrings::push(Text text, Sink sink, void* context) {
  if (count_ == 0) {
    sink(context, text);
    return false;
  }
  bool stop = false;
  for (i64 i = 0; i < text.size && !stop; i++) {
    held_[held_count_++] = text[i];
    stop = push_byte(text[i]);
    // What is decided is given at once, or when there is room for less than a character more.
    const bool last = i + 1 == text.size, inside = !last && (text[i + 1] & 0xc0) == 0x80;
    if (!stop && !last && (inside || held_count_ < MAX_HELD - 3) && held_count_ < MAX_HELD) continue;
    const i64 keep = undecided(stop);
    if (held_count_ > keep) sink(context, {held_, held_count_ - keep});
    for (i64 j = 0; j < keep; j++)
      held_[j] = held_[held_count_ - keep + j];
    held_count_ = stop ? 0 : keep;
  }
  return stop;
}

void StopStrings::finish(Sink sink, void* context) {
  sink(context, {held_, held_count_});
  held_count_ = 0;
}

}  // namespace edgellm
