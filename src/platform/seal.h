// The seal: after everything is opened and taken, a seccomp filter lets the kernel refuse every system call that generation
// does not need. Refused calls answer EPERM (brk answers 0, which libc takes for "no more memory"), so that a mistake shows
// as an error and not as a killed process. The seal binds all threads and cannot be lifted.
#pragma once
#include "base/format.h"

namespace edgellm {

// What a command needs beyond the core: read, write, writev, futex, clocks and sleeping, yielding, returning from signals,
// and exiting. The core can neither open, map, allocate, connect, start a thread nor run a program.
enum : u32 {
  SEAL_SOCKETS = 1u << 0,  // accept and use connections on sockets that are already listening
  SEAL_FILES = 1u << 1,    // pread, pwrite, lseek, ftruncate, fsync, fdatasync on files that are already open
  SEAL_FIGURES = 1u << 2,  // getrusage: page faults and memory for `bench`
  // ioctl on standard input, a terminal, to read and set how it treats keys and to read its window's size; nothing else, so that no
  // key can be put into it (TIOCSTI, TIOCLINUX)
  SEAL_TERMINAL = 1u << 3,
  SEAL_MAPS =
      1u << 4,  // mmap of zeros that can only be read, at a place that is named, for what is lost of a file (signals.h)
};

enum class Seal : i32 {
  sealed,
  unavailable,  // no seccomp here: another system, an emulator, a sanitizer
  failed,       // the kernel has it and refused
};

// `why` receives one line when the answer is not `sealed`.
Seal seal_process(u32 extra, Writer& why);

}  // namespace edgellm
