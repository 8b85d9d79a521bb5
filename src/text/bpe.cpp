// Candidates lie in a heap and are not removed when a merge takes one of their symbols: a candidate counts only if it still is
// the one that its position would enter. A merge enters at most two and has left one, so that 2 n entries are enough.
#include "text/bpe.h"

#include "platform/signals.h"

namespace edgellm {

u32 find_pair(const PairTable& pairs, u32 left, u32 right) {
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
  Symbol* symbols = space.symbols;
  u64* heap = space.heap;
  u64 count = 0;
  auto candidate = [&](u32 at) { return static_cast<u64>(pairs.slots[symbols[at].slot].rank) << 32 | at; };
  auto enter = [&](u32 at) {
    Symbol& s = symbols[at];
    s.slot = s.next < n ? find_pair(pairs, s.id, symbols[s.next].id) : NO_SLOT;
    if (s.slot != NO_SLOT) sift_up(heap, count++, candidate(at));
  };
  for (u32 i = 0; i < n; i++) {
    u32 slot = i + 1 < n ? find_pair(pairs, symbols[i].id, symbols[i + 1].id) : NO_SLOT;
    symbols[i] = {symbols[i].id, i + 1, i - 1, slot};
    if (slot != NO_SLOT) heap[count++] = candidate(i);
  }
  for (u64 i = (count + 2) / 4; i-- > 0;)
    sift_down(heap, count, i, heap[i]);

  while (count > 0 && !interrupted()) {
    u64 best = heap[0];
    if (--count > 0) sift_down(heap, count, 0, heap[count]);
    u32 at = static_cast<u32>(best);
    Symbol& left = symbols[at];
    if (left.slot == NO_SLOT || candidate(at) != best) continue;
    Symbol& right = symbols[left.next];
    left.id = pairs.slots[left.slot].merged;
    left.next = right.next;
    right.slot = NO_SLOT;
    if (left.next < n) symbols[left.next].prev = at;
    enter(at);
    if (at > 0) enter(left.prev);
  }
}

}  // namespace edgellm
