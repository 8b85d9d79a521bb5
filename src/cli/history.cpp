#include "cli/history.h"

#include <string.h>

namespace edgellm {

void History::drop_first() {
  const i64 bytes = Text(entries_.data).size + 1;
  end_ -= bytes;
  memmove(entries_.data, entries_.data + bytes, static_cast<size_t>(end_));
  count_--;
}

bool History::add(Text entry) {
  if (entry.size == 0 || entry.size >= entries_.count) return false;
  if (count_ > 0) {
    i64 last = end_ - 1;
    while (last > 0 && entries_[last - 1])
      last--;
    if (Text(entries_.data + last) == entry) return false;
  }
  while (entries_.count - end_ <= entry.size)
    drop_first();
  memcpy(entries_.data + end_, entry.data, static_cast<size_t>(entry.size));
  end_ += entry.size;
  entries_[end_++] = 0;
  count_++;
  return true;
}

void History::add_lines(Text file) {
  char* const out = edits_.data;  // where an entry is put together
  i64 size = 0;
  for (i64 at = 0; at < file.size; at++) {
    const bool end = file[at] == '\n';
    if (end && size > 0 && out[size - 1] == '\\') {
      out[size - 1] = '\n';
    } else if (end) {
      add({out, size});
      size = 0;
    } else if (size < edits_.count) {
      out[size++] = file[at];
    }
  }
  add({out, size});
}

// Where its text lies, -1: it was not changed.
i64 History::find_edit(i64 index, Edit* edit) const {
  const i64 head = static_cast<i64>(sizeof *edit);
  for (i64 at = 0; at < edits_end_; at += head + edit->bytes) {
    memcpy(edit, edits_.data + at, sizeof *edit);
    if (edit->index == index) return at + head;
  }
  return -1;
}

Text History::entry(i64 index) const {
  Edit edit;
  if (i64 at = find_edit(index, &edit); at >= 0) return {edits_.data + at, edit.bytes};
  if (index == count_) return {};
  const char* text = entries_.data;
  for (; index > 0; index--)
    text += Text(text).size + 1;
  return text;
}

bool History::keep_edit(i64 index, Text text) {
  Edit edit;
  if (i64 at = find_edit(index, &edit); at >= 0) {
    const i64 next = at + edit.bytes, start = at - static_cast<i64>(sizeof edit);
    memmove(edits_.data + start, edits_.data + next, static_cast<size_t>(edits_end_ - next));
    edits_end_ -= next - start;
  }
  if (text == entry(index)) return true;
  edit = {index, text.size};
  if (edits_.count - edits_end_ < text.size + static_cast<i64>(sizeof edit)) return false;
  memcpy(edits_.data + edits_end_, &edit, sizeof edit);
  edits_end_ += static_cast<i64>(sizeof edit);
  memcpy(edits_.data + edits_end_, text.data, static_cast<size_t>(text.size));
  edits_end_ += text.size;
  return true;
}

}  // namespace edgellm
