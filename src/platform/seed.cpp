#include "platform/seed.h"

#include <unistd.h>
#if defined(__APPLE__)
#include <sys/random.h>
#endif

#include "base/random.h"
#include "platform/clock.h"

namespace edgellm {

u64 draw_seed() {
  u64 seed = 0;
  if (getentropy(&seed, sizeof seed) == 0) return seed;
  return random_bits(static_cast<u64>(now_ns()), static_cast<u64>(unix_seconds()));  // a kernel older than 3.17
}

}  // namespace edgellm
