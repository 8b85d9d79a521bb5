// Byte pair encoding: of all neighbouring symbols that form a pair of the table, the one with the lowest rank (the leftmost of
// equals) is merged, until none is left. One engine for byte-level and SentencePiece vocabularies. O(n log n).
#pragma once
#include "text/section.h"

namespace edgellm {

struct Symbol {
  u32 id;    // any value is allowed, NO_TOKEN never merges
  u32 next;  // position of the next symbol that is left, the number of symbols at the end
  u32 prev;  // position of the one before
  u32 slot;  // where in the table the pair of this symbol and the next one stands
};

// Caller's memory for words of up to `capacity` symbols. No order is assumed of its contents.
struct MergeSpace {
  Symbol* symbols;  // (capacity)
  u64* heap;        // (2 capacity) candidates: rank << 32 | position
};
constexpr i64 MERGE_BYTES = sizeof(Symbol) + 2 * sizeof(u64);  // a symbol

struct PairTable {
  const PairSlot* slots;
  u32 count;
  u32 probes;
};

constexpr u32 NO_SLOT = 0xffffffff;

// The slot of a pair, NO_SLOT if the table has none.
u32 find_pair(const PairTable& pairs, u32 left, u32 right);

// Merges symbols [0, n), n >= 1, of which the ids are given. What is left are the ids at 0, symbols[0].next, ... until n.
void merge(const PairTable& pairs, const MergeSpace& space, u32 n);

}  // namespace edgellm
