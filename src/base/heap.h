// The watch over the heap. The Linux program has no heap of its own: src/base/no_heap.cpp answers malloc from a small fixed
// block that libc's start-up and pthread_create need, counts the calls, and refuses them once the process is sealed.
// In the library, on macOS and under sanitizers malloc is the system's, and nothing is counted.
#pragma once
#include "base/types.h"

namespace edgellm {

struct HeapWatch {
  bool counting;      // our malloc is in place
  bool closed;        // allocations are refused from now on
  i64 bytes;          // handed out so far, of HEAP_BYTES
  i64 after_closing;  // calls that were refused
};

constexpr i64 HEAP_BYTES = 64 * 1024;

// Refuses every later allocation.
void close_heap();

HeapWatch heap_watch();

}  // namespace edgellm
