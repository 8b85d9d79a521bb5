#include "platform/heap.h"

namespace edgellm {

HeapWatch heap_watch;

void close_heap() {
  heap_watch.closed.store(true);
}

}  // namespace edgellm
