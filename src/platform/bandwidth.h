// How fast this machine reads memory: the ceiling of token generation, measured in the run it is compared with.
#pragma once
#include "platform/threads.h"

namespace edgellm {

// Bytes per second at which all threads of the pool together read `buffer`, summing it with plain vector loads: the best of
// `passes` passes (at least 1) after one that warms up; of fewer when a signal came (platform/signals.h). The buffer should be at least
// four times the last-level cache and must have been written before, or all its pages are one page of zeros.
f64 read_bandwidth(Threads& threads, Span<const u8> buffer, i32 passes);

// A size for that buffer: four times the last-level cache, at least 64 MiB and at most an eighth of usable memory.
i64 bandwidth_buffer_bytes(i64 cache_bytes, i64 usable_memory);

}  // namespace edgellm
