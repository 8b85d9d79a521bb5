// Bytes to a descriptor, whole or not at all silently: interrupted and partial writes go on where they stopped.
// Text goes to stdout through print, figures and notes go to stderr through note. Nothing is kept back in a buffer, and
// nothing is allocated.
#pragma once
#include "base/status.h"

namespace edgellm {

constexpr i32 STDIN = 0;
constexpr i32 STDOUT = 1;
constexpr i32 STDERR = 2;

// False when the reader went away (EPIPE; SIGPIPE is ignored, see platform/signals.h), the disk is full or the descriptor is
// closed; errno says which. A descriptor that does not block is waited for.
bool write_all(i32 fd, Text bytes);

// Reads what there is, waiting for some; the number of bytes, 0 at the end, or -1 with errno set (EINTR: a signal came).
i64 read_some(i32 fd, char* buffer, i64 capacity);

// Somebody types or watches.
bool is_terminal(i32 fd);

// How wide that terminal is, 80 where it does not say; 0: it is none.
i32 terminal_columns(i32 fd);

// A file or a pipe, which somebody gave to be read; no terminal, other device, socket or folder, and not closed.
bool is_file_or_pipe(i32 fd);

// There is something to read, or the end of it, or an error, or a signal came; false when none of these did in so many ms.
bool ready_within(i32 fd, i32 ms);

// A pipe or a terminal whose reader is slow takes nothing now.
bool takes_bytes(i32 fd);

// Reads until `capacity` bytes or the end; the number read, or -1 with errno set.
i64 read_all(i32 fd, char* buffer, i64 capacity);

// Collects small pieces and writes them in as few calls as they fit in: one line, one write. Long texts pass through.
class Output {
 public:
  explicit Output(i32 fd);

  template <class T>
  void add(const T& value) {
    reserve(SMALL);
    writer_.add(value);
  }
  template <size_t N>
  void add(const char (&text)[N]) {
    add(Text(text));
  }
  void add(const char* text) { add(Text(text)); }
  void add(Text text);

  // Writes what is left; false when this or any earlier write failed.
  bool flush();

 private:
  static constexpr i64 SMALL = 64;  // the longest number
  void reserve(i64 bytes);
  void send(Text text);

  i32 fd_;
  bool ok_;
  char buffer_[1024] = {};
  Writer writer_;
};

bool output_parts(i32 fd, u64 types, ...);

template <class... Args>
[[gnu::always_inline]] inline bool output(i32 fd, const Args&... args) {
  return output_parts(fd, part_types<decltype(part(args))...>(), part(args)...);
}

// Standard output, which nothing follows once a write failed: Code::closed, without words, when its reader went away, or
// an error that says why. `main` asks at the end, so that no call has to look at what print answers.
Status check_output();

// To stdout. False when nobody reads it any more: a reason to stop.
template <class... Args>
[[gnu::always_inline]] inline bool print(const Args&... args) {
  return output(STDOUT, args...);
}

// To stderr. A failure is of no consequence.
template <class... Args>
[[gnu::always_inline]] inline void note(const Args&... args) {
  (void)output(STDERR, args...);
}

}  // namespace edgellm
