// Random bits of the operating system.
#pragma once
#include "base/types.h"

namespace edgellm {

// 64 bits from the operating system's generator, for a seed that nobody gave.
u64 draw_seed();

}  // namespace edgellm
