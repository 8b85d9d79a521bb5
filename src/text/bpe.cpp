// Candidates lie in a heap and are not removed when a merge takes one of their symbols: a candidate counts only if it still is
// the one that its position would enter. A merge enters at most two and has left one, so that 2 n entries are enough.
#include "text/bpe.h"

namespace edgellm {

constexpr u32 NO_SLOT = 0xffffffff;

static u32 find_pair(const PairTable& pairs, u32 left, u32 right) {
  if (pairs.count == 0 || left == NO_TOKEN || right == NO_TOKEN) return NO_SLOT;
  u32 at = first_slot(pair_hash(left, right), pairs.count);
  for (u32 i = 0; i < pairs.probes; i++) {
    const PairSlot& slot = pairs.slots[at];
    if (slot.left == left && slot.right == right && slot.merged != NO_TOKEN) return at;
    if (slot.merged == NO_TOKEN) return NO_SLOT;
    if (++at == pairs.count) at = 0;
  }
  return NO_SLOT;
}

// A heap of four children a node: they share a cache line.
static void sift_down(u64* heap, u64 count, u64 hole, u64 key) {
  for (;;) {
    u64 child = 4 * hole + 1;
    if (child >= count) break;
    u64 least = child;
    u64 end = min(child + 4, count);
    for (u64 i = child + 1; i < end; i++) {
      if (heap[i] < heap[least]) least = i;
    }
    if (heap[least] >= key) break;
    heap[hole] = heap[least];
    hole = least;
  }
  heap[hole] = key;
}

static void sift_up(u64* heap, u64 hole, u64 key) {
  for (; hole > 0 && heap[(hole - 1) / 4] > key; hole = (hole - 1) / 4)
    heap[hole] = heap[(hole - 1) / 4];
  heap[hole] = key;
}

void merge(const PairTable& pairs, const MergeSpace& space, u32 n) {
  auto [heap, ids, next, prev, slot] = space;
  u64 count = 0;
  for (u32 i = 0; i < n; i++) {
    next[i] = i + 1;
    prev[i] = i - 1;
    slot[i] = i + 1 < n ? find_pair(pairs, ids[i], ids[i + 1]) : NO_SLOT;
    if (slot[i] != NO_SLOT) heap[count++] = static_cast<u64>(pairs.slots[slot[i]].rank) << 32 | i;
  }
  for (u64 i = (count + 2) / 4; i-- > 0;)
    sift_down(heap, count, i, heap[i]);

  while (count > 0) {
    u64 best = heap[0];
    if (--count > 0) sift_down(heap, count, 0, heap[count]);
    u32 at = static_cast<u32>(best);
    if (slot[at] == NO_SLOT || pairs.slots[slot[at]].rank != best >> 32) continue;

    u32 right = next[at];
    u32 after = next[right];
    ids[at] = pairs.slots[slot[at]].merged;
    slot[right] = NO_SLOT;
    next[at] = after;
    if (after < n) prev[after] = at;
    slot[at] = after < n ? find_pair(pairs, ids[at], ids[after]) : NO_SLOT;
    if (slot[at] != NO_SLOT) sift_up(heap, count++, static_cast<u64>(pairs.slots[slot[at]].rank) << 32 | at);
    if (at == 0) continue;
    u32 before = prev[at];
    slot[before] = find_pair(pairs, ids[before], ids[at]);
    if (slot[before] != NO_SLOT) sift_up(heap, count++, static_cast<u64>(pairs.slots[slot[before]].rank) << 32 | before);
  }
}

}  // namespace edgellm
