// The two things that `info` tells of: this machine, and a model file.
#pragma once
#include "cli/command.h"
#include "cli/json_output.h"

namespace edgellm {

// A summary in words, with --tensors all there is, or all of it as JSON.
Status info_model(Options& options);

// Every kernel set of this program, and whether this CPU has what it needs.
void json_kernel_sets(JsonWriter& json);

// All formats that a tensor may have.
constexpr i32 FORMATS = 0
#define FORMAT(enumerator, name, number, unit_columns, unit_bytes) +1
#include "formats.def"
#undef FORMAT
    ;

}  // namespace edgellm
