// What a failed assert calls, for the static Linux program, in place of libc's, which needs a heap to say it; not part of the
// library.
#include <stdlib.h>

#include "platform/console.h"
#include "platform/terminal.h"

extern "C" __attribute__((visibility("default"))) void __assert_fail(const char* assertion, const char* file, unsigned line,
                                                                     const char* function) noexcept {
  edgellm::end_keys();
  edgellm::note("edgellm: ", file, ":", line, ": ", function, ": this should hold and does not: ", assertion, "\n");
  abort();
}
