// How likely a model finds a little English.
#pragma once
#include <string>

namespace edgellm::convert {

struct Likelihood {
  double nll;      // nats for a token, the mean of up to 64
  double uniform;  // of a model that knows nothing: ln(vocabulary)
};

// Runs the model file at `path`. Throws when it has no tokenizer or cannot be run.
Likelihood likelihood_of_english(const std::string& path);

}  // namespace edgellm::convert
