#include "server/token_records.h"

#include <string.h>

namespace edgellm {

TokenRecord& TokenRecords::add(i32 id) {
  const i32 end = this->end();
  TokenRecord& record = (*this)[count_++];
  record.id = id;
  record.value = 1;
  record.end = end;
  record.skipped = record.dropped = 0;
  record.tops = 0;
  record.inside = false;
  return record;
}

void TokenRecords::read(TokenRecord& record, const LogProbabilities& row) const {
  const Span<const LogProbability> top = row.top();
  record.value = row.of(record.id);
  record.tops = static_cast<u16>(min<i64>(tops_, top.count));
  for (i32 i = 0; i < record.tops; i++)
    record.top[i] = top[i];
}

void TokenRecords::cut(i32 bytes) {
  if (bytes >= end()) return;
  i64 kept = 0;
  for (i64 i = 0; i < count_; i++) {
    if ((i ? (*this)[i - 1].end : 0) < bytes) kept = i + 1;
  }
  count_ = kept;
  if (count_ == 0) return;
  TokenRecord& last = (*this)[count_ - 1];
  last.dropped = static_cast<u16>(min(last.end - bytes, 65535));
  last.end = bytes;
}

void TokenRecords::drop_first(i64 count) {
  if (count == 0) return;
  const i32 gone = (*this)[count - 1].end;
  const i64 size = record_bytes();
  char* first = end_ - count_ * size;
  count_ -= count;
  memmove(end_ - count_ * size, first, static_cast<size_t>(count_ * size));
  for (i64 i = 0; i < count_; i++)
    (*this)[i].end -= gone;
}

}  // namespace edgellm
