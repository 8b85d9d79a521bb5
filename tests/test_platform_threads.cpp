#include <pthread.h>
#include <signal.h>
#include <time.h>

#include <atomic>
#include <vector>

#include "base/floating_point.h"
#include "check.h"
#include "platform/clock.h"
#include "platform/threads.h"

using namespace edgellm;

// Every chunk runs once, its writes are visible afterwards, and thread numbers are in range.
static void run_many(i32 count, int jobs) {
  Threads threads;
  Status started = threads.start(count);
  CHECK(started.ok());
  CHECK_EQ(threads.count(), count);
  std::vector<int> runs;  // not atomic: the pool alone orders the accesses
  u32 mix = 1;
  for (int job = 0; job < jobs; job++) {
    mix = mix * 1664525 + 1013904223;
    i32 chunks = static_cast<i32>(mix >> 24) % (job % 50 == 0 ? 200 : 12);
    runs.assign(static_cast<size_t>(chunks), 0);
    std::atomic<int> strangers{0};
    auto body = [&](i32 chunk, i32 thread) {
      runs[static_cast<size_t>(chunk)]++;
      if (thread < 0 || thread >= count) strangers++;
    };
    threads.run(chunks, body);  // an lvalue
    bool once = strangers == 0;
    for (int n : runs)
      once &= n == 1;
    CHECK(once);
    if (job % 500 == 499) sleep_until_ns(now_ns() + 300000);  // long enough for the workers to park
  }
  threads.stop();
  CHECK_EQ(threads.count(), 1);
}

#if defined(__linux__)
// Workers are in the default floating-point environment whatever the caller's, receive no signals but their own faults, and have
// stacks of half a MiB; the caller keeps its signals.
TEST(what_a_worker_is) {
#if defined(__x86_64__)
  set_float_state({0x1f80 | 0x8040});  // flush to zero, denormals are zero
#endif
  sigset_t before, after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  Threads threads;
  CHECK(threads.start(3).ok());
  enter_default_float();
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  std::atomic<int> seen{0}, wrong{0};
  std::atomic<size_t> stack{0};
  const FloatState expected = float_state();
  threads.run(3, [&](i32, i32 thread) {
    if (thread > 0) {
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1, SIGALRM})
        wrong += sigismember(&mask, signal) != 1;
      for (int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT})
        wrong += sigismember(&mask, signal) != 0;
      wrong += float_state().control != expected.control;
      pthread_attr_t attributes;
      size_t bytes = 0;
      if (pthread_getattr_np(pthread_self(), &attributes) == 0 && pthread_attr_getstacksize(&attributes, &bytes) == 0)
        stack = bytes;
      pthread_attr_destroy(&attributes);
      seen++;
    } else {
      while (seen == 0)
        sleep_until_ns(now_ns() + 100000);
    }
  });
  CHECK(seen > 0);
  CHECK_EQ(wrong.load(), 0);
  CHECK(stack >= 512 << 10 && stack < 1024 << 10);
  for (int signal = 1; signal < 32; signal++)
    CHECK_EQ(sigismember(&after, signal), sigismember(&before, signal));
  threads.stop();
}
#endif

// Chunks are claimed in order, on any number of threads, and no job of one chunk leaves the caller.
TEST(chunks_in_order_on_any_thread) {
  for (i32 count = 1; count <= Threads::MAX; count = count < 6 ? count + 1 : count * 2 + 2) {
    Threads threads;
    CHECK(threads.start(count).ok());
    CHECK_EQ(threads.count(), count);
    for (i32 chunks : {0, 1, 2, 3, count, 4 * count + 1}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(chunks));
      std::vector<std::atomic<int>> latest(static_cast<size_t>(count));
      std::atomic<int> wrong{0};
      threads.run(chunks, [&](i32 chunk, i32 thread) {
        if (chunk < 0 || chunk >= chunks || thread < 0 || thread >= count || (chunks == 1 && thread != 0)) {
          wrong++;
          return;
        }
        runs[static_cast<size_t>(chunk)]++;
        if (latest[static_cast<size_t>(thread)].exchange(chunk + 1) > chunk) wrong++;  // a thread's chunks ascend
      });
      for (const std::atomic<int>& n : runs)
        wrong += n != 1;
      CHECK_EQ(wrong.load(), 0);
    }
    threads.stop();
    threads.stop();  // is nothing
  }
}

TEST(one_thread) {
  run_many(1, 200);
}
TEST(two_threads) {
  run_many(2, 4000);
}
TEST(more_threads_than_cores) {
  run_many(7, 1000);
}
TEST(most_threads) {
  run_many(Threads::MAX, 20);
}

TEST(chunks_in_order_on_one_thread) {
  Threads threads;
  std::vector<i32> order;
  threads.run(5, [&](i32 chunk, i32) { order.push_back(chunk); });
  CHECK(order == std::vector<i32>({0, 1, 2, 3, 4}));
}

// A thread that is stuck in a chunk does not keep the others from all the rest.
TEST(late_thread_delays_one_chunk) {
  Threads threads;
  Status started = threads.start(3);
  CHECK(started.ok());
  std::atomic<int> done{0};
  std::atomic<bool> stuck{false};
  threads.run(64, [&](i32 chunk, i32) {
    if (chunk == 0) {
      while (done.load() < 63)
        sleep_until_ns(now_ns() + 100000);
      stuck = true;
    } else {
      done++;
    }
  });
  CHECK(stuck);
  CHECK_EQ(done.load(), 63);
  threads.stop();
}

// Two chunks are enough for two threads: one waits for the other, ten seconds at most.
TEST(two_chunks_run_side_by_side) {
  Threads threads;
  CHECK(threads.start(2).ok());
  std::atomic<int> begun{0}, met{0};
  threads.run(2, [&](i32, i32) {
    begun++;
    const i64 end = now_ns() + 10000000000;
    while (begun < 2 && now_ns() < end)
      sleep_until_ns(now_ns() + 100000);
    met += begun == 2;
  });
  CHECK_EQ(met.load(), 2);
  threads.stop();
}

TEST(parked_workers_cost_nothing) {
  Threads threads;
  Status started = threads.start(4);
  CHECK(started.ok());
  threads.run(8, [](i32, i32) {});
  sleep_until_ns(now_ns() + 50000000);  // all parked by now, emulated or not
  timespec before, after;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  sleep_until_ns(now_ns() + 200000000);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  i64 used = (after.tv_sec - before.tv_sec) * i64{1000000000} + after.tv_nsec - before.tv_nsec;
  CHECK(used < 20000000);
  std::atomic<int> sum{0};
  threads.run(8, [&](i32 chunk, i32) { sum += chunk; });
  CHECK_EQ(sum.load(), 28);
  threads.stop();
}

TEST(start_and_stop_again) {
  Threads threads;
  for (int i = 0; i < 20; i++) {
    Status started = threads.start(1 + i % 4);
    CHECK(started.ok());
    std::atomic<int> runs{0};
    threads.run(10, [&](i32, i32) { runs++; });
    CHECK_EQ(runs.load(), 10);
    threads.stop();
  }
}

TEST(counts_that_cannot_be) {
  for (i32 count : {0, -1, Threads::MAX + 1}) {
    Threads threads;
    Status status = threads.start(count);
    CHECK(status.code() == Code::usage);
    CHECK_EQ(std::string(status.text()), "threads must be 1 to 64, not " + std::to_string(count));
    CHECK_EQ(threads.count(), 1);
  }
}
