// One job at a time. A job is published by storing its number and its chunk count into one word, `claims`; taking a chunk
// is a compare-and-swap that lowers the count. A worker that slept through whole jobs therefore can only take a chunk of
// the job that is current at that instant, and that job cannot end before the worker has finished the chunk: nobody ever
// waits for a thread that holds no chunk.
#include "platform/threads.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include <atomic>

#include "base/floating_point.h"
#include "platform/clock.h"
#include "platform/memory.h"
#include "platform/park.h"

namespace edgellm {

constexpr i64 SPIN_NS = 50000;             // longer than the serial pieces between two matmuls, far below a scheduler tick
constexpr i32 SPINS_PER_LOOK = 32;         // pauses between two looks at the clock
constexpr size_t STACK_BYTES = 512 << 10;  // kernels keep less than 64 KiB on the stack

struct Threads::Shared {
  // Each on a cache line of its own: written at different times by different threads.
  alignas(64) std::atomic<u64> claims;    // job number << 32 | chunks not taken yet
  alignas(64) std::atomic<u32> pending;   // chunks of the job not finished yet; parked on by thread 0
  alignas(64) std::atomic<u32> job;       // number of the newest job; parked on by workers
  alignas(64) std::atomic<u32> sleepers;  // workers parked or about to
  std::atomic<u32> owner_sleeps;          // thread 0 is parked or about to
  std::atomic<u32> ready;                 // workers that have begun; parked on by `start`
  std::atomic<bool> stopping;

  // The current job. Written by thread 0 while no chunk is pending, read by whoever holds a chunk.
  Task task;
  void* context;
  u32 chunks;

  struct Worker {
    Shared* shared;
    i32 index;
    pthread_t handle;
  };
  Worker workers[MAX];

  bool take(i32* chunk);
  void finish();
  void work(i32 thread);
  static void* worker_main(void* argument);
};

// Takes the next chunk in order; false when none is left.
bool Threads::Shared::take(i32* chunk) {
  u64 seen = claims.load(std::memory_order_acquire);
  while (static_cast<u32>(seen) > 0) {
    if (claims.compare_exchange_weak(seen, seen - 1, std::memory_order_acquire)) {
      *chunk = static_cast<i32>(chunks - static_cast<u32>(seen));
      return true;
    }
  }
  return false;
}

void Threads::Shared::finish() {
  if (pending.fetch_sub(1) == 1 && owner_sleeps.load()) unpark(&pending, 1);
}

void Threads::Shared::work(i32 thread) {
  for (i32 chunk; take(&chunk);) {
    task(context, chunk, thread);
    finish();
  }
}

// Waits a little for `word` to leave `value`; true when it did.
static bool spin_while(const std::atomic<u32>& word, u32 value) {
  i64 deadline = now_ns() + SPIN_NS;
  do {
    for (i32 i = 0; i < SPINS_PER_LOOK; i++) {
      if (word.load(std::memory_order_acquire) != value) return true;
      spin_pause();
    }
  } while (now_ns() < deadline);
  return false;
}

void* Threads::Shared::worker_main(void* argument) {
  Worker* self = static_cast<Worker*>(argument);
  Shared& shared = *self->shared;
#if defined(__APPLE__)
  pthread_set_qos_class_self_np(QOS_CLASS_USER_INTERACTIVE, 0);  // the performance cores
#endif
  enter_default_float();  // a thread inherits its parent's
  shared.ready.fetch_add(1);
  unpark(&shared.ready, 1);
  u32 seen = 0;
  while (!shared.stopping.load()) {
    if (!spin_while(shared.job, seen)) {
      shared.sleepers.fetch_add(1);
      while (shared.job.load() == seen)
        park(&shared.job, seen);
      shared.sleepers.fetch_sub(1);
    }
    seen = shared.job.load();
    shared.work(self->index);
  }
  return nullptr;
}

void Threads::run(i32 chunks, Task task, void* context) {
  if (count_ == 1 || chunks <= 1) {
    for (i32 chunk = 0; chunk < chunks; chunk++)
      task(context, chunk, 0);
    return;
  }
  Shared& shared = *shared_;
  u32 job = shared.job.load(std::memory_order_relaxed) + 1;
  shared.task = task;
  shared.context = context;
  shared.chunks = static_cast<u32>(chunks);
  shared.pending.store(shared.chunks);
  shared.claims.store(u64{job} << 32 | shared.chunks, std::memory_order_release);
  // Sequentially consistent, as is the workers' side: either they see the job or we see that they sleep.
  shared.job.store(job);
  if (shared.sleepers.load()) unpark(&shared.job, min(chunks, count_) - 1);

  shared.work(0);
  for (u32 left = shared.pending.load(); left; left = shared.pending.load()) {
    if (spin_while(shared.pending, left)) continue;
    shared.owner_sleeps.store(1);
    left = shared.pending.load();
    if (left) park(&shared.pending, left);
    shared.owner_sleeps.store(0);
  }
}

Status Threads::start(i32 count) {
  if (count < 1 || count > MAX) return usage_error("threads must be 1 to ", MAX, ", not ", count);
  assert(!shared_);
  if (count == 1) return {};

  Span<u8> block;
  EDGELLM_TRY(take_memory(sizeof(Shared), {.huge_pages = false}, &block));
  shared_ = reinterpret_cast<Shared*>(block.data);  // zeros are a pool at rest

  // Signals go to the thread that waits and prints.
  sigset_t all, before;
  sigfillset(&all);
  constexpr i32 FAULTS[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
  for (i32 fault : FAULTS)
    sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  i32 error = 0;
  for (i32 i = 1; i < count && !error; i++) {
    Shared::Worker& worker = shared_->workers[i];
    worker.shared = shared_;
    worker.index = i;
    error = pthread_create(&worker.handle, &attributes, Shared::worker_main, &worker);
    if (!error) count_++;
  }
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // libc's own beginning of a thread makes system calls that a seal would refuse.
  for (u32 ready; (ready = shared_->ready.load()) < static_cast<u32>(count_ - 1);)
    park(&shared_->ready, ready);
  if (!error) return {};

  Status status = failed("only ", count_, " of ", count, " threads could be started: ", strerror(error));
  stop();
  return status;
}

void Threads::stop() {
  if (!shared_) return;
  shared_->stopping.store(true);
  shared_->job.fetch_add(1);
  unpark(&shared_->job, MAX);
  for (i32 i = 1; i < count_; i++)
    pthread_join(shared_->workers[i].handle, nullptr);
  release_memory({reinterpret_cast<const u8*>(shared_), sizeof(Shared)});
  shared_ = nullptr;
  count_ = 1;
}

}  // namespace edgellm
