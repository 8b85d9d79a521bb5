#include "platform/clock.h"

#include <errno.h>
#include <time.h>

#include "platform/signals.h"

namespace edgellm {

constexpr i64 SECOND = 1000000000;

static i64 read_clock(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<i64>(now.tv_sec) * SECOND + now.tv_nsec;
}

i64 now_ns() {
  return read_clock(CLOCK_MONOTONIC);
}

i64 process_cpu_ns() {
  return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void sleep_until_ns(i64 deadline) {
  while (!interrupted()) {
#if defined(__linux__)
    timespec at{};
    at.tv_sec = static_cast<time_t>(deadline / SECOND);
    at.tv_nsec = static_cast<long>(deadline % SECOND);
    if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr) != EINTR) return;
#else
    i64 left = deadline - now_ns();
    if (left <= 0) return;
    timespec span{};
    span.tv_sec = static_cast<time_t>(left / SECOND);
    span.tv_nsec = static_cast<long>(left % SECOND);
    nanosleep(&span, nullptr);
#endif
  }
}

i64 unix_seconds() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<i64>(now.tv_sec);
}

}  // namespace edgellm
