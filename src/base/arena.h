// All memory of a run comes from one block. The same lay-out function runs twice: first over an empty arena, which only
// adds up sizes, then over the block that was taken for the sum. Nothing is ever given back.
#pragma once
#include <assert.h>

#include "base/types.h"

namespace edgellm {

class Arena {
 public:
  static constexpr i64 ALIGNMENT = 64;

  Arena() = default;  // counts
  Arena(u8* block, i64 capacity) : block_(block), capacity_(capacity) {}

  // `count` objects of T on a 64-byte boundary, zero filled (the block is); null while counting.
  template <class T>
  T* take(i64 count) {
    i64 offset = used_;
    assert(count >= 0 && count <= (INT64_MAX - offset) / static_cast<i64>(sizeof(T)) - ALIGNMENT);
    used_ = align_up(offset + count * static_cast<i64>(sizeof(T)), ALIGNMENT);
    if (!block_) return nullptr;
    assert(used_ <= capacity_);
    return reinterpret_cast<T*>(block_ + offset);
  }

  i64 used() const { return used_; }
  bool counting() const { return block_ == nullptr; }

 private:
  u8* block_ = nullptr;
  [[maybe_unused]] i64 capacity_ = 0;  // asserts alone look at it
  i64 used_ = 0;
};

}  // namespace edgellm
