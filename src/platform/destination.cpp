#include "platform/destination.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/console.h"
#include "platform/files.h"

namespace edgellm {

namespace {

Status check_kind(const char* option, const char* path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return {};
  return usage_error(option, " ", path, ": is ", file_kind(info.st_mode), ", not a regular file; nothing is written to it");
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

const char* file_kind(u32 mode) {
  return S_ISDIR(mode)    ? "a folder"
         : S_ISFIFO(mode) ? "a named pipe"
         : S_ISSOCK(mode) ? "a socket"
         : S_ISLNK(mode)  ? "a symbolic link"
                          : "a device";
}

Status check_destination(const char* option, const char* path, Span<const char* const> inputs) {
  struct stat info;
  if (stat(path, &info) != 0) {
    if (errno == ENOENT) return {};
    return failed(option, " ", path, ": ", strerror(errno));
  }
  EDGELLM_TRY(check_kind(option, path, info));
  struct stat other;
  for (const char* input : inputs) {
    if (input && stat(input, &other) == 0 && same_file(info, other)) {
      return usage_error(option, " ", path, ": is the same file as ", input, ", which is read; name another file");
    }
  }
  const char* streams[] = {"input", "output", "error"};
  for (i32 fd = STDIN; fd <= STDERR; fd++) {
    if (fstat(fd, &other) == 0 && same_file(info, other)) {
      return usage_error(option, " ", path, ": is the same file as standard ", streams[fd], "; name another file");
    }
  }
  return {};
}

Status open_destination(const char* option, const char* path, u32 mode, i32* fd) {
  EDGELLM_TRY(check_destination(option, path, {}));
  // Should a pipe or a terminal have taken its place meanwhile: neither waits for it nor becomes its owner.
  *fd = away_from_streams(open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode));
  if (*fd < 0) return failed(option, " ", path, ": ", strerror(errno));
  struct stat info;
  Status status = fstat(*fd, &info) == 0 ? check_kind(option, path, info) : failed(option, " ", path, ": ", strerror(errno));
  if (status.ok() && flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    status = failed(option, " ", path, ": another process has it open for writing; name another file");
  }
  if (!status.ok()) close(*fd);
  return status;
}

}  // namespace edgellm
