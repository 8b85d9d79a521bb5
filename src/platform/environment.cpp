#include "platform/environment.h"

#include <stdlib.h>
#include <unistd.h>

namespace edgellm {

const char* environment_variable(const char* name) {
  const char* value = getenv(name);
  return value && *value ? value : nullptr;
}

const char* host_name(char* buffer, i64 capacity) {
  buffer[0] = buffer[capacity - 1] = 0;
  const bool known = gethostname(buffer, static_cast<size_t>(capacity - 1)) == 0 && buffer[0];
  return known ? buffer : "unknown";
}

}  // namespace edgellm
