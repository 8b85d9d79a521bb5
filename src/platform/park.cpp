#include "platform/park.h"

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#else
#include <pthread.h>
#endif

namespace edgellm {

#if defined(__linux__)

static_assert(sizeof(std::atomic<u32>) == 4);

void park(std::atomic<u32>* word, u32 expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void unpark(std::atomic<u32>* word, i32 count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

#else

// One lock for all words: parking is rare, and everybody who wakes looks at its own word.
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

void park(std::atomic<u32>* word, u32 expected) {
  pthread_mutex_lock(&lock);
  if (word->load() == expected) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

void unpark(std::atomic<u32>*, i32) {
  pthread_mutex_lock(&lock);  // a thread between its look at the word and its wait holds it
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

#endif

}  // namespace edgellm
