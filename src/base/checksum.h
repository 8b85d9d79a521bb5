// XXH64, seed 0: the checksum of model and state files. Specification: https://github.com/Cyan4973/xxHash,
// doc/xxhash_spec.md, "XXH64 Algorithm Description". Input may come in pieces of any size.
#pragma once
#include "base/types.h"

namespace edgellm {

class Checksum {
 public:
  Checksum();
  void update(const void* data, i64 bytes);
  u64 value() const;  // of everything so far; more may follow

 private:
  u64 lanes_[4];
  u64 total_ = 0;   // bytes so far
  u8 pending_[32];  // the first total_ % 32 bytes wait here for a whole stripe
};

// Of one block.
u64 checksum(const void* data, i64 bytes);

}  // namespace edgellm
