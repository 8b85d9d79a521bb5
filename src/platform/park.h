// Waiting on a word of memory until another thread changes it: Linux's futex, elsewhere a mutex and a condition.
#pragma once
#include <atomic>

#include "base/types.h"

namespace edgellm {

// Sleeps while *word == expected. May return early; the caller looks again.
void park(std::atomic<u32>* word, u32 expected);

// Wakes up to `count` threads that are parked on `word`, after it was changed.
void unpark(std::atomic<u32>* word, i32 count);

// A moment of a loop that waits for another core.
static inline void spin_pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");  // waits some tens of cycles; `yield` does nothing on most cores
#endif
}

}  // namespace edgellm
