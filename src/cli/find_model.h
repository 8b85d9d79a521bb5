// The model files that a command line means: a model file as it is, and what edgellm-convert takes once it was converted.
#pragma once
#include "cli/options.h"

namespace edgellm {

// Where the model, or the file of --tokenizer, is a source of edgellm-convert, the options name the model file afterwards that is
// made of it in a folder of the user's (docs/COMMANDS.md). The error for what is no model says what it is and what to type.
// Whatever takes memory, a priority or the seal comes later, because a converter may run meanwhile.
Status find_models(Options& options);

}  // namespace edgellm
