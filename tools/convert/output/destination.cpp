#include "convert/output/destination.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>

#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "platform/destination.h"

namespace edgellm::convert {
namespace {

constexpr int MOST_LINKS = 40;  // as Linux follows

void refuse_source(const std::string& path) {
  if (std::optional<std::string> source = opened_as(path)) {
    wrong_usage(path, " is a source of this conversion (", *source, "): it would be lost; give another name");
  }
}

// The open file is the one at `path`.
bool has_name(int descriptor, const std::string& path) {
  struct stat file, named;
  return fstat(descriptor, &file) == 0 && lstat(path.c_str(), &named) == 0 && file.st_dev == named.st_dev &&
         file.st_ino == named.st_ino;
}

// Removes what a killed conversion left.
void remove_left_over(const std::string& path) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) return;  // whatever is wrong, creating it says
  if (!S_ISREG(status.st_mode)) {
    io_error(path, " is ", file_kind(status.st_mode), " and in the way: remove it, or give another name");
  }
  refuse_source(path);
  const int descriptor = open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  const bool locked = descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (!locked && (descriptor < 0 || has_name(descriptor, path))) unlink(path.c_str());
  if (descriptor >= 0) close(descriptor);
  if (locked) io_error(path, " is being written by another conversion");
}

}  // namespace

std::string reason_of(int problem) {
  return problem == ENOSPC || problem == EDQUOT ? "no space left" : std::strerror(problem);
}

std::string destination_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    wrong_usage(path, " is ", file_kind(status.st_mode), ", expected the name of a file");
  }
  std::filesystem::path place = path;
  for (int links = 0; links <= MOST_LINKS; links++) {
    std::error_code none;
    const std::filesystem::path next = std::filesystem::read_symlink(place, none);
    if (none) return place.string();
    place = place.parent_path() / next;  // an absolute one replaces it
  }
  wrong_usage(path, ": its symbolic links lead in a circle");
}

Partial create_partial(const std::string& destination) {
  refuse_source(destination);
  Partial partial{destination + ".partial"};
  remove_left_over(partial.path);
  struct stat old;
  partial.replaces = stat(destination.c_str(), &old) == 0;
  partial.mode = partial.replaces ? old.st_mode & 0777 : 0;
  // Its owner reads it back before it gets its name.
  const mode_t mode = partial.replaces ? partial.mode | S_IRUSR | S_IWUSR : 0666;
  partial.descriptor = open(partial.path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (partial.descriptor < 0) io_error(partial.path, ": cannot create: ", reason_of(errno));
  const bool locked = flock(partial.descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (locked || !has_name(partial.descriptor, partial.path)) {  // another one began in the same moment
    close(partial.descriptor);
    io_error(partial.path, " is being written by another conversion");
  }
  // Only root can give a file away; another user's copy is that user's.
  if (partial.replaces) (void)!fchown(partial.descriptor, old.st_uid, old.st_gid);
  return partial;
}

void publish(const Partial& partial, const std::string& destination) {
  if (partial.replaces && fchmod(partial.descriptor, partial.mode) != 0) {
    io_error(partial.path, ": cannot set the rights of ", destination, ": ", reason_of(errno));
  }
  if (rename(partial.path.c_str(), destination.c_str()) != 0) {
    io_error(destination, ": cannot rename to it: ", reason_of(errno));
  }
  close(partial.descriptor);
}

}  // namespace edgellm::convert
