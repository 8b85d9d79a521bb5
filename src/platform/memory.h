// Memory from the operating system: one block for everything that is written, read-only maps for files. Nothing is given
// back before the process ends, except by release_memory, which the embedding API, measurements and tests use.
#pragma once
#include "base/status.h"

namespace edgellm {

struct MemoryOptions {
  bool huge_pages = true;  // advice: big pages where the system has them
  bool lock = false;       // pin in RAM (mlock); an error where the limit does not allow it
};

// Bytes of the block that take_memory takes for so many: whole pages, from 2 MiB on huge ones.
i64 block_bytes(i64 bytes, bool huge_pages = true);

// Takes `bytes` (at least 1; the block is of block_bytes) of zeros, page aligned, and touches every page once, so
// that later use faults no more. The error says how much was asked for. Touching more than there is may end the process:
// check platform/machine.h's usable_memory first.
Status take_memory(i64 bytes, MemoryOptions options, Span<u8>* block);

// Gives a block or a mapped file back.
void release_memory(Span<const u8> memory);

struct MapOptions {
  bool prefault = false;         // read every page now
  bool lock = false;             // pin in RAM (mlock); reads every page too
  Code error = Code::bad_model;  // the code of a failure to open or map
};

// Maps a whole regular file read-only; the descriptor is closed again. An empty file gives an empty span and no error.
// The file must not shrink while it is used: see watch_map in platform/signals.h for what happens then.
Status map_file(const char* path, MapOptions options, Span<const u8>* bytes);

struct PageFaults {
  i64 minor;  // served from memory
  i64 major;  // waited for a disk
};

// Of the whole process so far.
PageFaults page_faults();

// The most physical memory the process has held so far, shared file pages included.
i64 peak_resident_bytes();

}  // namespace edgellm
