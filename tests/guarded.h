// Memory that ends at a page which nothing may touch: a read or write past the end is a crash.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "base/types.h"

namespace check {

class Guarded {
 public:
  explicit Guarded(size_t most) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    size_ = (most + page - 1) / page * page;
    void* map = mmap(nullptr, size_ + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (map == MAP_FAILED) std::abort();
    map_ = static_cast<char*>(map);
    if (mprotect(map_ + size_, page, PROT_NONE) != 0) std::abort();
    bytes_ = size_ + page;
  }
  ~Guarded() { munmap(map_, bytes_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  // A copy whose last byte is the last that can be read.
  edgellm::Span<char> at_end(const std::string& bytes) {
    if (bytes.size() > size_) std::abort();
    char* copy = map_ + size_ - bytes.size();
    if (!bytes.empty()) std::memcpy(copy, bytes.data(), bytes.size());
    return {copy, static_cast<edgellm::i64>(bytes.size())};
  }

 private:
  char* map_;
  size_t size_, bytes_;
};

}  // namespace check
