// The log probabilities of a text's tokens, while its answer is made: records that grow from the end of a room downwards, since
// the text grows from its beginning upwards. What a token prints is a part of the text, so that the tokens together are the text:
// a record says where that part ends, and which of the token's own bytes are not in it.
#pragma once
#include "engine/log_probabilities.h"

namespace edgellm {

struct TokenRecord {
  i32 id;
  f32 value;              // log probability; positive: there is none, since nothing stands before the token
  i32 end;                // of its part, in bytes of the text that is held
  u16 skipped;            // bytes at its beginning that the text has not
  u16 dropped;            // and at its end
  u16 tops;               // of `top` that were read
  bool inside;            // behind it the text stands inside a character: U+FFFD may follow that is its own
  LogProbability top[1];  // as many as all records have room for
};

class TokenRecords {
 public:
  TokenRecords() = default;
  // `room` ends at a multiple of 4 bytes.
  TokenRecords(Span<char> room, i32 tops) : end_(room.data + room.count), tops_(tops) {}

  i64 count() const { return count_; }
  i64 record_bytes() const {
    return static_cast<i64>(sizeof(TokenRecord)) + (tops_ - 1) * static_cast<i64>(sizeof(LogProbability));
  }
  i64 bytes() const { return count_ * record_bytes(); }
  TokenRecord& operator[](i64 i) const { return *reinterpret_cast<TokenRecord*>(end_ - (i + 1) * record_bytes()); }
  i32 end() const { return count_ ? (*this)[count_ - 1].end : 0; }  // of the part of the last one

  // One more behind the last, without log probabilities. There is room for it.
  TokenRecord& add(i32 id);
  // Fills in those of the row that was read last.
  void read(TokenRecord& record, const LogProbabilities& row) const;

  // The text is no longer than `bytes`: what a stop string or the room for the answer cut off is no part of a token.
  void cut(i32 bytes);
  // The first `count`, and the text that is theirs, are gone.
  void drop_first(i64 count);

 private:
  char* end_ = nullptr;
  i32 tops_ = 0;
  i64 count_ = 0;
};

}  // namespace edgellm
