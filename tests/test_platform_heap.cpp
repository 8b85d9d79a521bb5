// The malloc of the static program, here under other names beside the real one.
#include <cstring>

#include "check.h"

#define malloc no_heap_malloc
#define free no_heap_free
#define calloc no_heap_calloc
#define realloc no_heap_realloc
#define memalign no_heap_memalign
#define aligned_alloc no_heap_aligned_alloc
#define posix_memalign no_heap_posix_memalign
#include "../src/platform/no_heap.cpp"

using namespace edgellm;

static bool zero(const void* piece, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (static_cast<const char*>(piece)[i]) return false;
  }
  return true;
}

TEST(the_small_heap) {
  void* a = no_heap_malloc(100);
  void* b = no_heap_calloc(10, 10);
  CHECK(a && b && a != b);
  CHECK(zero(b, 100));
  std::memset(a, 1, 100);
  CHECK(zero(b, 100));
  void* c = no_heap_realloc(a, 200);
  CHECK(c && static_cast<char*>(c)[99] == 1 && zero(static_cast<char*>(c) + 100, 100));  // nothing of what lay behind it
  CHECK(no_heap_realloc(nullptr, 5));
  no_heap_free(a);
  void* page = no_heap_aligned_alloc(4096, 10);
  CHECK(page && reinterpret_cast<uintptr_t>(page) % 4096 == 0);
  CHECK(no_heap_memalign(64, 1));
  void* piece = nullptr;
  CHECK_EQ(no_heap_posix_memalign(&piece, 64, 1), 0);
  CHECK(heap_watch.counting.load());

  CHECK(!no_heap_malloc(HEAP_BYTES + 1));
  CHECK(!no_heap_malloc(SIZE_MAX));
  CHECK(!no_heap_calloc(SIZE_MAX, 2));
  CHECK_EQ(heap_watch.after_closing.load(), 0);
  i64 taken = 0;
  while (no_heap_malloc(1000))
    taken++;
  CHECK(taken > 50 && taken < 65);
  const size_t left = static_cast<size_t>(HEAP_BYTES - heap_watch.bytes.load()) - 16;
  CHECK(!no_heap_malloc(left + 1));
  CHECK(no_heap_malloc(left));  // to the last byte
  CHECK_EQ(heap_watch.bytes.load(), HEAP_BYTES);

  close_heap();
  CHECK(!no_heap_malloc(1));
  CHECK(!no_heap_realloc(c, 1));
  CHECK_EQ(heap_watch.after_closing.load(), 2);
}
