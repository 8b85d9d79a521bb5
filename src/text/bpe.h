// Byte pair encoding: of all neighbouring symbols that form a pair of the table, the one with the lowest rank (the leftmost of
// equals) is merged, until none is left. One engine for byte-level and SentencePiece vocabularies. O(n log n).
#pragma once
#include "text/section.h"

namespace edgellm {

// Caller's memory for words of up to `capacity` symbols. No order is assumed of its contents.
struct MergeSpace {
  u64* heap;  // (2 capacity) candidates: rank << 32 | position
  u32* ids;   // (capacity) symbols; any value is allowed, NO_TOKEN never merges
  u32* next;  // (capacity) position of the next symbol that is left, the number of symbols at the end
  u32* prev;  // (capacity)
  u32* slot;  // (capacity) where in the table the pair of this symbol and the next one stands
};
constexpr i64 MERGE_BYTES = 2 * sizeof(u64) + 4 * sizeof(u32);  // a symbol

struct PairTable {
  const PairSlot* slots;
  u32 count;
  u32 probes;
};

// Merges symbols ids[0, n), n >= 1. What is left are ids[0], ids[next[0]], ... until the position n.
void merge(const PairTable& pairs, const MergeSpace& space, u32 n);

}  // namespace edgellm
