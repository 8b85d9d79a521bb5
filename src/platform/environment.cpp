#include "platform/environment.h"

#include <stdlib.h>

namespace edgellm {

const char* environment_variable(const char* name) {
  const char* value = getenv(name);
  return value && *value ? value : nullptr;
}

}  // namespace edgellm
