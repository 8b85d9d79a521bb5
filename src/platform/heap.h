// The watch over the heap. The Linux program has no heap of its own: src/platform/no_heap.cpp answers malloc from a small fixed
// block that libc's start-up and pthread_create need, counts the calls, and refuses them once the heap is closed.
// In the library, on macOS and under sanitizers malloc is the system's, and nothing is counted.
#pragma once
#include <atomic>

#include "base/types.h"

namespace edgellm {

struct HeapWatch {
  std::atomic<bool> counting;      // our malloc is in place: it was called at least once
  std::atomic<bool> closed;        // every allocation is refused from now on
  std::atomic<i64> bytes;          // handed out so far, of HEAP_BYTES
  std::atomic<i64> after_closing;  // calls that were refused
};

constexpr i64 HEAP_BYTES = 64 * 1024;

extern HeapWatch heap_watch;

// Refuses every later allocation. Call it when everything is taken, before seal_process.
void close_heap();

}  // namespace edgellm
