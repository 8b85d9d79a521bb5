// A server that answers at once, with as many words as tokens were asked for: what the generator itself costs.
#pragma once
#include "load/options.h"

namespace edgellm::load {

// Until a signal ends it. Throws when it cannot listen.
[[noreturn]] void serve_nothing(const Options& options);

}  // namespace edgellm::load
