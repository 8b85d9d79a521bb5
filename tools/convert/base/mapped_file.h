// Source files: mapped read-only, never read past their end.
#pragma once
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "base/types.h"
#include "convert/base/error.h"
#include "file/foreign.h"

namespace edgellm::convert {

// Bytes that a MappedFile owns.
struct Bytes {
  const u8* data = nullptr;
  u64 size = 0;  // a size_t holds it

  std::string text() const { return {reinterpret_cast<const char*>(data), static_cast<size_t>(size)}; }
};

class MappedFile {
 public:
  // Throws when it cannot be read, or was never downloaded, so that a stand-in lies in its place: a Git-LFS pointer, a page of the
  // web. An empty file has no bytes.
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string path;
  Bytes bytes() const { return bytes_; }

  // Says that so many bytes were read: now and then the pages of all files are given back, so that large ones do not fill the
  // memory.
  void read(u64 count) const;

 private:
  MappedFile(const std::string& file_path, Bytes mapped);
  Bytes bytes_;
};

using File = std::shared_ptr<const MappedFile>;

// What a file is, by its first bytes.
inline Foreign identify(Bytes file) {
  const i64 bytes = static_cast<i64>(file.size);
  return edgellm::identify({file.data, bytes}, bytes);
}

// What follows the words on a file that ends too early.
constexpr char WAS_CUT[] = ": it was cut: download it again";

// Reads front to back; what does not fit in the file is an error that names it.
class Cursor {
 public:
  explicit Cursor(File file) : file_(std::move(file)) {}

  Bytes take(u64 size, const std::string& what) {
    if (size > left()) {
      unusable(file_->path, ": ", what, " needs ", size, " bytes at offset ", position_, ", only ", left(), " are left",
               WAS_CUT);
    }
    Bytes taken{file_->bytes().data + position_, size};
    position_ += size;
    return taken;
  }

  template <class T>
  T read(const std::string& what) {
    T value;
    std::memcpy(&value, take(sizeof value, what).data, sizeof value);
    return value;
  }

  u64 position() const { return position_; }
  u64 left() const { return file_->bytes().size - position_; }
  const File& file() const { return file_; }

 private:
  File file_;
  u64 position_ = 0;
};

// A conversion must not write over what it reads: the name under which the file at `path` was opened since `forget_opened`, by its
// device and inode; nothing if it was not, or is not there.
void forget_opened();
std::optional<std::string> opened_as(const std::string& path);

bool file_exists(const std::string& path);
bool is_folder(const std::string& path);
std::string file_name(const std::string& path);  // the last part, also of "folder/"
std::string folder_of(const std::string& path);  // "." when there is none

// A path as a shell takes it for one word.
std::string shell_word(const std::string& path);

}  // namespace edgellm::convert
