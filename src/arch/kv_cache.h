// Where the keys and values of a session lie. For each kv head of a layer: k, v, k scales, v scales (KvHead in kernels.h). Without
// a window slots are positions; with one, the sinks (the first SINKS positions) come first, and then a ring.
#pragma once
#include "arch/model.h"

namespace edgellm {

// Slots that follow each other and hold positions that follow each other.
struct Segment {
  KvHead head;
  i32 slot;
  i32 count;
};

// Positions that a session keeps at a time.
i32 cache_slots(const Limits& limits);

struct KvCache {  // of one layer
  KvFormat format;
  i32 kv_heads;
  i32 head_dim;
  i32 padded;      // head_dim up to a multiple of 16
  i32 window;      // 0: none
  i32 slots;       // a multiple of 16
  i64 state_at;    // of the layer's part in a session's state
  i64 head_bytes;  // of one kv head

  static KvCache plan(const Limits& limits, i32 kv_heads, i32 head_dim, i64 state_at);
  i64 bytes() const { return head_bytes * kv_heads; }
  i32 most_visible() const { return window ? SINKS + window : slots; }

  // The only way to a session's keys and values: the slot of `position` of one kv head, and how many of the positions that
  // follow it, up to `end`, lie in the slots that follow it.
  Segment segment(u8* session, i32 head, i32 position, i32 end) const;

  // The first `positions` slots of every head.
  void copy(u8* from, i32 positions, u8* to) const;
};

}  // namespace edgellm
