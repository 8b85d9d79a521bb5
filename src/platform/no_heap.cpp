// malloc and its family for the static Linux program, in place of libc's; not part of the library. Memory comes from one
// fixed block and never goes back: what libc itself asks for (a few hundred bytes a thread) fits many times over, and the
// runtime asks for nothing. Each piece is preceded by its size, for realloc.
#include <errno.h>
#include <string.h>

#include "platform/heap.h"

namespace edgellm {

constexpr size_t UNIT = 16;  // alignment of every piece, and the room for its size

alignas(4096) static u8 heap[HEAP_BYTES];

static void* take(size_t bytes, size_t alignment) {
  heap_watch.counting.store(true, std::memory_order_relaxed);
  if (heap_watch.closed.load()) {
    heap_watch.after_closing.fetch_add(1);
  } else if (bytes <= HEAP_BYTES && alignment <= 4096) {
    i64 used = heap_watch.bytes.load();
    for (;;) {
      i64 begin = align_up(used + static_cast<i64>(UNIT), static_cast<i64>(max(alignment, UNIT)));
      i64 end = begin + static_cast<i64>(align_up(bytes, UNIT));
      if (end > HEAP_BYTES) break;
      if (!heap_watch.bytes.compare_exchange_weak(used, end)) continue;
      memcpy(heap + begin - UNIT, &bytes, sizeof bytes);
      return heap + begin;
    }
  }
  errno = ENOMEM;
  return nullptr;
}

}  // namespace edgellm

using edgellm::take;
using edgellm::UNIT;

extern "C" {

__attribute__((visibility("default"))) void* malloc(size_t bytes) {
  return take(bytes, UNIT);
}

__attribute__((visibility("default"))) void free(void*) {}

__attribute__((visibility("default"))) void* calloc(size_t count, size_t bytes) {
  size_t total;
  if (__builtin_mul_overflow(count, bytes, &total)) {
    errno = ENOMEM;
    return nullptr;
  }
  return take(total, UNIT);  // the block is zeros, and no piece is handed out twice
}

__attribute__((visibility("default"))) void* realloc(void* old, size_t bytes) {
  void* piece = take(bytes, UNIT);
  if (!piece || !old) return piece;
  size_t had;
  memcpy(&had, static_cast<const unsigned char*>(old) - UNIT, sizeof had);
  return memcpy(piece, old, had < bytes ? had : bytes);
}

__attribute__((visibility("default"))) void* memalign(size_t alignment, size_t bytes) {
  return take(bytes, alignment);
}

__attribute__((visibility("default"))) void* aligned_alloc(size_t alignment, size_t bytes) {
  return take(bytes, alignment);
}

__attribute__((visibility("default"))) int posix_memalign(void** piece, size_t alignment, size_t bytes) {
  *piece = take(bytes, alignment);
  return *piece ? 0 : ENOMEM;
}

}  // extern "C"
