#include "base/heap.h"

namespace edgellm {

HeapCounters heap_counters;

void close_heap() {
  heap_counters.closed.store(true);
}

HeapWatch heap_watch() {
  return {heap_counters.counting.load(), heap_counters.closed.load(), heap_counters.bytes.load(),
          heap_counters.after_closing.load()};
}

}  // namespace edgellm
