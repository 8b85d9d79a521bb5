// What was typed before, the oldest first, in memory of a fixed size: what has no place any more is forgotten. An entry that was
// changed while one looked through them is shown so until something is said.
#pragma once
#include "base/types.h"

namespace edgellm {

class History {
 public:
  // Both as large as the longest message and a few bytes more.
  History(Span<char> entries, Span<char> edits) : entries_(entries), edits_(edits) {}

  // False when it is the one that was added last.
  bool add(Text entry);

  // The entries of a history file: one a line, each line feed within it after a backslash.
  void add_lines(Text file);

  i64 count() const { return count_; }

  // Entry `index` in [0, count()], as it was changed; the last is the new one, empty at first.
  Text entry(i64 index) const;

  // False when there is no place for it.
  bool keep_edit(i64 index, Text text);
  void forget_edits() { edits_end_ = 0; }

 private:
  struct Edit {
    i64 index, bytes;  // the text follows
  };

  i64 find_edit(i64 index, Edit* edit) const;
  void drop_first();

  Span<char> entries_;  // [0, end_): texts with a zero behind each
  Span<char> edits_;    // [0, edits_end_): an Edit and its text each
  i64 end_ = 0;
  i64 count_ = 0;
  i64 edits_end_ = 0;
};

}  // namespace edgellm
