// Open files by their descriptors. Whoever is told that something failed finds in errno why.
#pragma once
#include "base/status.h"

namespace edgellm {

// A regular file, to be read. `what` is what an error calls it.
Status open_regular(const char* what, const char* path, i32* fd);
void close_file(i32 fd);

// `bytes` from `offset` on, fewer at the end of the file; -1 when it cannot be read.
i64 read_at(i32 fd, u8* buffer, i64 bytes, i64 offset);
bool write_at(i32 fd, const u8* buffer, i64 bytes, i64 offset);

// Takes away what is in it.
bool empty_file(i32 fd);

// -1 when the system does not say.
i64 file_size(i32 fd);

// From here on whatever is written goes to its end, beside what other processes write there: it is locked no more
// (platform/destination.h).
bool append_to_file(i32 fd);

// Waits until the medium has all of it.
bool sync_file(i32 fd);

bool can_read(const char* path);

// Where this program lies; empty where the system does not say.
Text program_path(char* buffer, i64 capacity);

}  // namespace edgellm
