// The model files that a command line means: a model file as it is, and what edgellm-convert takes once it was converted.
#pragma once
#include "cli/options.h"

namespace edgellm {

// Replaces the names of models in the options that are sources of edgellm-convert by those of the model files that it makes of
// them, in a folder of the user's (docs/COMMANDS.md). The error for what is no model says what it is and what to type. Whatever
// takes memory, a priority or the seal comes later, because a converter may run meanwhile.
Status find_models(Options& options);

}  // namespace edgellm
