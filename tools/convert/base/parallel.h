// Work on all cores.
#pragma once
#include <functional>

#include "base/types.h"

namespace edgellm::convert {

constexpr i64 HEAVY_WEIGHTS = 1 << 18;  // fewer are done before a thread has started

// Calls body(i) for each i in [0, count), each on any one thread; `heavy` says that the work is worth starting threads for.
// What the body throws for the lowest i is thrown here when all have ended.
void parallel(i64 count, bool heavy, const std::function<void(i64)>& body);

}  // namespace edgellm::convert
