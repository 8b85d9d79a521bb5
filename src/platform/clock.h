// Time. A monotonic clock for measuring and pacing, the calendar for records that leave the program.
#pragma once
#include "base/types.h"

namespace edgellm {

// Nanoseconds since some moment before the program began; never goes back.
i64 now_ns();

// Processor time of this process so far, of all its threads together.
i64 process_cpu_ns();

// Waits until now_ns() is at least `deadline`, without drift: a late wake-up does not move the next absolute deadline.
// Returns at once when it has passed. A signal does not end the wait unless it was an interruption (platform/signals.h).
void sleep_until_ns(i64 deadline);

// Seconds since 1970-01-01 UTC.
i64 unix_seconds();

}  // namespace edgellm
