// One line on a terminal's stderr that says what takes long and how far it is:
//
//   reading the prompt  1024 of 4096 tokens
//
// It appears when a stage (platform/stage.h) has lasted half a second, is drawn anew in place, at most ten times a second, and is
// gone at the end. Under the seal it needs write and the clock and nothing else.
#pragma once
#include "base/types.h"

namespace edgellm {

// From now on, if stderr is a terminal; before the seal.
void show_progress();

}  // namespace edgellm
