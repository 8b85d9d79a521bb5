// The environment of this process.
#pragma once
#include "base/types.h"

namespace edgellm {

// The value of a variable; null where it is not set, or empty.
const char* environment_variable(const char* name);

// What this machine is called; "unknown" where the system does not say.
const char* host_name(char* buffer, i64 capacity);

}  // namespace edgellm
