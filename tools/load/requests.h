// The distinct requests, drawn from a seed: the same seed, the same bytes.
#pragma once
#include <string>
#include <vector>

#include "load/options.h"

namespace edgellm::load {

struct Kind {
  std::string name;         // for messages
  std::string alone, load;  // the bytes of the request: not streamed, and as the load sends it
  std::string text;         // of the answer to it alone
  long tokens_out = -1;
  bool known = false;  // the two above
};

std::vector<Kind> make_kinds(const Options& options);

}  // namespace edgellm::load
