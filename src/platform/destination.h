// Where results go: neither an input nor anything but a regular file is ever written to.
#pragma once
#include "base/status.h"

namespace edgellm {

// What a file of st_mode `mode` is when it is no regular one: "a folder", "a device", "a named pipe", ...
const char* file_kind(u32 mode);

// Refuses a destination that exists and is no regular file, and one that is the same file as one of `inputs` (paths; a null
// one is none) or as a standard stream of this process, however either is named. Links are followed. `option` is what an
// error calls it. Touches nothing, so that it can be asked before anything is computed.
Status check_destination(const char* option, const char* path, Span<const char* const> inputs);

// Checks it again and opens it for reading and writing as it stands; what is not there is made, empty, with the permissions
// `mode`. It is locked until this process ends (flock): one that another process has opened so is refused.
Status open_destination(const char* option, const char* path, u32 mode, i32* fd);

}  // namespace edgellm
