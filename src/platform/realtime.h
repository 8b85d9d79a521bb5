// Fixed-priority scheduling, for output on a rhythm: tokens are then late only when the machine is too slow.
#pragma once
#include "base/status.h"

namespace edgellm {

// The kernel throttles fixed-priority threads that never sleep (sched_rt_runtime_us): more of the time than this may not be
// spent computing.
constexpr f64 REALTIME_DUTY = 0.9;

// Puts this thread, and those it starts later, under SCHED_FIFO. An error says which right is missing.
Status start_realtime();

}  // namespace edgellm
