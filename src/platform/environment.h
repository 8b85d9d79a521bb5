// The environment of this process.
#pragma once

namespace edgellm {

// The value of a variable; null where it is not set, or empty.
const char* environment_variable(const char* name);

}  // namespace edgellm
