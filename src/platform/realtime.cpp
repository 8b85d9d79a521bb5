#include "platform/realtime.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

namespace edgellm {

Status start_realtime() {
#if defined(__linux__)
  sched_param parameters = {};
  parameters.sched_priority = 40;  // below the kernel's own threaded interrupts (50)
  if (sched_setscheduler(0, SCHED_FIFO, &parameters) == 0) return {};
  return failed("--realtime: SCHED_FIFO was refused (",
                errno == EPERM ? "it needs CAP_SYS_NICE or `ulimit -r 40`" : strerror(errno), ")");
#else
  return failed("--realtime: fixed-priority scheduling is for Linux");
#endif
}

}  // namespace edgellm
