// A word of a command line as a shell wants it: for errors that say what to type.
#pragma once
#include "base/format.h"

namespace edgellm {

// At most four bytes for each of the word, and two quotation marks.
void add_shell_word(Writer& to, Text word);

}  // namespace edgellm
