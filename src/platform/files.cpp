#include "platform/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace edgellm {

Status open_regular(const char* what, const char* path, i32* fd) {
  // Non-blocking, or opening a named pipe would wait for its writer.
  *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (*fd < 0) return failed(what, " ", path, ": ", strerror(errno));
  struct stat info;
  if (fstat(*fd, &info) == 0 && S_ISREG(info.st_mode)) return {};
  close(*fd);
  return failed(what, " ", path, ": not a regular file");
}

void close_file(i32 fd) {
  close(fd);
}

i64 read_at(i32 fd, u8* buffer, i64 bytes, i64 offset) {
  i64 done = 0;
  while (done < bytes) {
    ssize_t n = pread(fd, buffer + done, static_cast<size_t>(bytes - done), offset + done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += n;
  }
  return done;
}

bool write_at(i32 fd, const u8* buffer, i64 bytes, i64 offset) {
  while (bytes > 0) {
    ssize_t n = pwrite(fd, buffer, static_cast<size_t>(bytes), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    buffer += n;
    offset += n;
    bytes -= n;
  }
  return true;
}

bool empty_file(i32 fd) {
  return ftruncate(fd, 0) == 0;
}

i64 file_size(i32 fd) {
  struct stat info;
  return fstat(fd, &info) == 0 ? static_cast<i64>(info.st_size) : -1;
}

bool append_to_file(i32 fd) {
  return fcntl(fd, F_SETFL, O_APPEND) == 0 && flock(fd, LOCK_UN) == 0;
}

bool sync_file(i32 fd) {
  return fsync(fd) == 0;
}

bool can_read(const char* path) {
  return access(path, R_OK) == 0;
}

Text program_path(char* buffer, i64 capacity) {
  ssize_t size = readlink("/proc/self/exe", buffer, static_cast<size_t>(capacity));
  return {buffer, size > 0 ? size : 0};
}

}  // namespace edgellm
