// Open files by their descriptors. Whoever is told that something failed finds in errno why.
#pragma once
#include "base/status.h"

namespace edgellm {

// A regular file, to be read. `what` is what an error calls it.
Status open_regular(const char* what, const char* path, i32* fd);
void close_file(i32 fd);

// Where a standard stream is closed, what is opened next takes its place, and what is printed gets into it: the same open file
// under a number behind theirs, closed when another program starts. The number that was given is not used any more.
i32 away_from_streams(i32 fd);

// Opens /dev/null for each standard stream that is closed, so that nothing which is opened later takes its number.
void keep_streams();

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

struct FileFacts {
  bool regular, folder;
  i64 bytes;
  i64 modified_ns;  // since 1970-01-01 UTC
};

// Of what lies at `path`, links followed; false when nothing does, or it cannot be asked.
bool examine(const char* path, FileFacts* facts);

// Calls `see` with each name in a folder, in no order, without those of itself and its parent; false when it cannot be read.
bool list_folder(const char* path, void (*see)(void* context, const char* name), void* context);

// Makes a folder that only its owner enters, and those above it; whether one is there now in which files can be made.
bool make_folder(const char* path);

// The name without links and dots, for which there is room of PATH_BYTES; false when nothing lies there, or the system does not
// say.
constexpr i64 PATH_BYTES = 4096;  // that a path has at most, with its end
bool real_path(const char* path, char* buffer);

// Opens what lies at `path`, a folder too, to hold a lock on it until it is closed; -1: that cannot be.
i32 open_to_lock(const char* path);
// False when another process holds it. Where the medium knows no locks everybody gets it.
bool take_lock(i32 fd);

// Where this program lies; empty where the system does not say.
Text program_path(char* buffer, i64 capacity);

}  // namespace edgellm
