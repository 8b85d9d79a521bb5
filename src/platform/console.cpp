#include "platform/console.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace edgellm {

// Waits for a descriptor that somebody else (a shell, a parent) has made non-blocking. False with errno set when it cannot.
static bool wait_for(i32 fd, short events) {
  pollfd wait{fd, events, 0};
  return poll(&wait, 1, -1) >= 0;
}

bool write_all(i32 fd, Text bytes) {
  while (bytes.size > 0) {
    ssize_t n = ::write(fd, bytes.data, static_cast<size_t>(bytes.size));
    if (n > 0) {
      bytes = bytes.from(n);
    } else if (n < 0 && errno == EAGAIN) {
      wait_for(fd, POLLOUT);
    } else if (n == 0 || errno != EINTR) {
      return false;
    }
  }
  return true;
}

i64 read_some(i32 fd, char* buffer, i64 capacity) {
  for (;;) {
    ssize_t n = read(fd, buffer, static_cast<size_t>(capacity));
    if (n >= 0 || errno != EAGAIN) return n;
    if (!wait_for(fd, POLLIN)) return -1;
  }
}

bool is_terminal(i32 fd) {
  return isatty(fd) != 0;
}

i32 terminal_columns(i32 fd) {
  winsize size{};
  if (!is_terminal(fd)) return 0;
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
}

bool is_file_or_pipe(i32 fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISFIFO(info.st_mode));
}

bool ready_within(i32 fd, i32 ms) {
  pollfd wait{fd, POLLIN, 0};
  return poll(&wait, 1, ms) != 0;
}

bool takes_bytes(i32 fd) {
  pollfd wait{fd, POLLOUT, 0};
  return poll(&wait, 1, 0) == 1 && (wait.revents & POLLOUT);
}

i64 read_all(i32 fd, char* buffer, i64 capacity) {
  i64 total = 0;
  while (total < capacity) {
    i64 n = read_some(fd, buffer + total, capacity - total);
    if (n == 0) break;
    if (n > 0) {
      total += n;
    } else if (errno != EINTR) {
      return -1;
    }
  }
  return total;
}

static i32 stdout_error;  // errno of the first write that failed

Status check_output() {
  if (stdout_error == 0) return {};
  if (stdout_error == EPIPE) return Status::error(Code::closed, "");
  return failed("standard output: ", strerror(stdout_error));
}

Output::Output(i32 fd) : fd_(fd), ok_(fd != STDOUT || stdout_error == 0), writer_(buffer_) {}

void Output::send(Text text) {
  if (!ok_) return;
  errno = EIO;  // should a write take nothing and not say why
  ok_ = write_all(fd_, text);
  if (!ok_ && fd_ == STDOUT) stdout_error = errno;
}

void Output::reserve(i64 bytes) {
  if (writer_.text().size + bytes < static_cast<i64>(sizeof buffer_)) return;
  flush();
}

void Output::add(Text text) {
  reserve(text.size);
  if (text.size < static_cast<i64>(sizeof buffer_)) {
    writer_.add(text);
  } else {
    send(text);
  }
}

bool Output::flush() {
  send(writer_.text());
  writer_.clear();
  return ok_;
}

bool output_parts(i32 fd, u64 types, ...) {
  Output out(fd);
  Parts parts(types);
  va_start(parts.arguments, types);
  for (Text text; parts.next(&text);)
    out.add(text);
  va_end(parts.arguments);
  return out.flush();
}

}  // namespace edgellm
