#include "platform/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#else
#include <dirent.h>
#endif
#if defined(__APPLE__)
#include <mach-o/dyld.h>
#endif

#include "platform/console.h"

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

i32 away_from_streams(i32 fd) {
  if (fd < 0) return fd;
  const i32 high = fcntl(fd, F_DUPFD_CLOEXEC, STDERR + 1);
  close(fd);
  return high;
}

void keep_streams() {
  i32 fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR);
  if (fd >= 0) close(fd);
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

bool examine(const char* path, FileFacts* facts) {
  struct stat info;
  if (stat(path, &info) != 0) return false;
#if defined(__APPLE__)
  const timespec& modified = info.st_mtimespec;
#else
  const timespec& modified = info.st_mtim;
#endif
  *facts = {.regular = S_ISREG(info.st_mode),
            .folder = S_ISDIR(info.st_mode),
            .bytes = static_cast<i64>(info.st_size),
            .modified_ns = static_cast<i64>(modified.tv_sec) * 1000000000 + modified.tv_nsec};
  return true;
}

#if defined(__linux__)
// Not opendir: its buffer would come from the heap.
bool list_folder(const char* path, void (*see)(void* context, const char* name), void* context) {
  constexpr i64 NAME = 19;  // behind inode and offset (8 bytes each), the entry's size (2) and its kind (1)
  const i32 fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  alignas(8) char entries[4096];
  long size;
  while ((size = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
    u16 bytes;
    for (long at = 0; at < size; at += bytes) {
      memcpy(&bytes, entries + at + 16, sizeof bytes);
      const char* name = entries + at + NAME;
      if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0) see(context, name);
    }
  }
  close(fd);
  return size == 0;
}
#else
bool list_folder(const char* path, void (*see)(void* context, const char* name), void* context) {
  DIR* folder = opendir(path);
  if (!folder) return false;
  while (const dirent* entry = readdir(folder)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) see(context, entry->d_name);
  }
  closedir(folder);
  return true;
}
#endif

bool make_folder(const char* path) {
  char above[PATH_BYTES];
  i32 problem = 0;  // the first
  for (i64 at = 0; path[at]; at++) {
    if (at + 1 == PATH_BYTES) {
      errno = ENAMETOOLONG;
      return false;
    }
    above[at] = path[at];
    above[at + 1] = 0;
    const bool whole = path[at] != '/' && (path[at + 1] == 0 || path[at + 1] == '/');
    if (whole && mkdir(above, 0700) != 0 && errno != EEXIST && problem == 0) problem = errno;
  }
  FileFacts facts;
  const bool there = examine(path, &facts) && facts.folder;
  if (!there) errno = problem ? problem : ENOTDIR;
  return there && access(path, W_OK | X_OK) == 0;
}

#if defined(__linux__)
// What the kernel calls it: a quarter of the bytes that libc's realpath has.
bool real_path(const char* path, char* buffer) {
  const i32 fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return false;
  char link[32];
  Writer name(link);
  write(name, "/proc/self/fd/", fd);
  const ssize_t size = readlink(link, buffer, PATH_BYTES - 1);
  close(fd);
  if (size > 0) buffer[size] = 0;
  return size > 0;
}
#else
bool real_path(const char* path, char* buffer) {
  static_assert(PATH_BYTES >= PATH_MAX);
  return realpath(path, buffer);
}
#endif

i32 open_to_lock(const char* path) {
  return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

bool take_lock(i32 fd) {
  return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
}

#if defined(__APPLE__)
Text program_path(char* buffer, i64 capacity) {
  char named[PATH_BYTES], real[PATH_BYTES];
  u32 room = sizeof named;
  Writer path(buffer, capacity);
  if (_NSGetExecutablePath(named, &room) == 0 && realpath(named, real)) path.add(real);
  return path.full() ? Text() : path.text();
}
#else
Text program_path(char* buffer, i64 capacity) {
  ssize_t size = readlink("/proc/self/exe", buffer, static_cast<size_t>(capacity));
  return {buffer, size > 0 ? size : 0};
}
#endif

}  // namespace edgellm
