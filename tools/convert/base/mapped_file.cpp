#include "convert/base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "base/shell_word.h"

namespace edgellm::convert {
namespace {

std::mutex open_files_mutex;
std::set<const MappedFile*> open_files;
std::map<std::pair<dev_t, ino_t>, std::string> opened;  // and maybe closed again

void refuse_stand_in(const std::string& path, Bytes bytes) {
  if (bytes.size == 0) return;  // whether it may be empty its reader knows
  const Foreign found = identify(bytes);
  if (found.way == WayOut::pull) {
    const std::string folder = folder_of(path);
    unusable(path, " is ", found.what, ": git ", folder == "." ? "" : "-C " + shell_word(folder) + " ", "lfs pull");
  }
  if (found.way == WayOut::download) unusable(path, " is ", found.what, ": ", found.advice);
}

}  // namespace

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // else opening a FIFO waits for its writer
  if (descriptor < 0) io_error(path, ": ", std::strerror(errno));
  struct stat status;
  if (fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(descriptor);
    io_error(path, ": not a regular file");
  }
  {
    std::lock_guard<std::mutex> lock(open_files_mutex);
    opened.emplace(std::pair{status.st_dev, status.st_ino}, path);
  }
  Bytes bytes{nullptr, static_cast<u64>(status.st_size)};
  if (bytes.size > 0) {
    const size_t length = static_cast<size_t>(bytes.size);
    if (length != bytes.size) {
      close(descriptor);
      io_error(path, ": ", bytes.size, " bytes are more than a program for ", 8 * sizeof length, " bits can map");
    }
    void* mapped = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor, 0);
    int problem = errno;
    close(descriptor);
    if (mapped == MAP_FAILED) io_error(path, ": cannot map ", bytes.size, " bytes: ", std::strerror(problem));
    bytes.data = static_cast<const u8*>(mapped);
  } else {
    close(descriptor);
  }
  std::shared_ptr<const MappedFile> file(new MappedFile(path, bytes));
  refuse_stand_in(path, bytes);
  return file;
}

MappedFile::MappedFile(const std::string& file_path, Bytes mapped) : path(file_path), bytes_(mapped) {
  std::lock_guard<std::mutex> lock(open_files_mutex);
  open_files.insert(this);
}

void MappedFile::read(u64 count) const {
  constexpr u64 MOST = 32 << 20;
  static std::atomic<u64> resident = 0;  // bytes read since then
  if (resident.fetch_add(count) + count <= MOST) return;
  resident = 0;
  std::lock_guard<std::mutex> lock(open_files_mutex);
  for (const MappedFile* file : open_files) {  // unchanged pages: they are read again when needed
    if (file->bytes_.data)
      madvise(const_cast<u8*>(file->bytes_.data), static_cast<size_t>(file->bytes_.size), MADV_DONTNEED);
  }
}

MappedFile::~MappedFile() {
  std::lock_guard<std::mutex> lock(open_files_mutex);
  open_files.erase(this);
  if (bytes_.data) munmap(const_cast<u8*>(bytes_.data), static_cast<size_t>(bytes_.size));
}

void forget_opened() {
  std::lock_guard<std::mutex> lock(open_files_mutex);
  opened.clear();
}

std::optional<std::string> opened_as(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  std::lock_guard<std::mutex> lock(open_files_mutex);
  auto found = opened.find({status.st_dev, status.st_ino});
  return found == opened.end() ? std::nullopt : std::optional<std::string>(found->second);
}

bool file_exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored);
}

std::string file_name(const std::string& path) {
  std::filesystem::path parts(path);
  return (parts.has_filename() ? parts : parts.parent_path()).filename().string();
}

std::string folder_of(const std::string& path) {
  std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string shell_word(const std::string& path) {
  std::string room(4 * path.size() + 3, 0);
  Writer writer(room.data(), static_cast<i64>(room.size()));
  add_shell_word(writer, {path.data(), static_cast<i64>(path.size())});
  room.resize(static_cast<size_t>(writer.text().size));
  return room;
}

}  // namespace edgellm::convert
