#include "platform/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

constexpr i64 HUGE_PAGE = 2 << 20;
constexpr i64 PIECE = 16 << 20;  // after which is told how far it is

#if !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22  // Linux 5.14; older kernels answer EINVAL
#endif

static i64 page_bytes() {
  return static_cast<i64>(sysconf(_SC_PAGESIZE));
}

// body(at, bytes) for each piece; it answers whether to go on.
template <class Body>
static bool in_pieces(const char* doing, i64 bytes, const Body& body) {
  begin_stage(doing, bytes, Unit::bytes);
  bool well = true;
  for (i64 at = 0; at < bytes && well; at += PIECE) {
    well = body(at, min(PIECE, bytes - at));
    advance_stage(min(PIECE, bytes - at), Unit::bytes);
  }
  end_stage();
  return well;
}

static Status lock_pages(const u8* data, i64 bytes, const char* what) {
  bool locked = in_pieces("pinning in memory", bytes,
                          [&](i64 at, i64 piece) { return mlock(data + at, static_cast<size_t>(piece)) == 0; });
  if (locked) return {};
  return failed("cannot lock ", bytes, " bytes of ", what, " in memory: ", strerror(errno), " (see `ulimit -l`)");
}

i64 block_bytes(i64 bytes, bool huge_pages) {
  return align_up(bytes, huge_pages && bytes >= HUGE_PAGE ? HUGE_PAGE : page_bytes());
}

Status take_memory(i64 bytes, MemoryOptions options, Span<u8>* block) {
  // Room to start on a huge page, so that the first one is huge too; the unused ends are given back.
  bool huge = options.huge_pages && bytes >= HUGE_PAGE;
  i64 size = block_bytes(bytes, options.huge_pages);
  i64 reserved = size + (huge ? HUGE_PAGE : 0);
  void* at = mmap(nullptr, static_cast<size_t>(reserved), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return failed("cannot take ", bytes, " bytes of memory: ", strerror(errno));
  u8* data = static_cast<u8*>(at);
  if (huge) {
    i64 skip = static_cast<i64>(-reinterpret_cast<uintptr_t>(data) & (HUGE_PAGE - 1));
    if (skip) munmap(data, static_cast<size_t>(skip));
    data += skip;
    if (skip < HUGE_PAGE) munmap(data + size, static_cast<size_t>(HUGE_PAGE - skip));
#if defined(MADV_HUGEPAGE)
    madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  }
  if (options.lock) {
    Status locked = lock_pages(data, size, "work memory");
    if (!locked.ok()) {
      munmap(data, static_cast<size_t>(size));
      return locked;
    }
  }
  // A write to each page; volatile, as storing zero over zero has no other effect.
  const i64 page = page_bytes();
  in_pieces("taking memory", size, [&](i64 from, i64 piece) {
    for (i64 i = from; i < from + piece; i += page)
      *const_cast<volatile u8*>(data + i) = 0;
    return true;
  });
  *block = {data, size};
  return {};
}

void release_memory(Span<const u8> memory) {
  if (memory.count > 0) munmap(const_cast<u8*>(memory.data), static_cast<size_t>(memory.count));
}

static void prefault_piece(const u8* data, i64 bytes) {
#if defined(__linux__)
  if (madvise(const_cast<u8*>(data), static_cast<size_t>(bytes), MADV_POPULATE_READ) == 0) return;
#endif
  i64 page = page_bytes();
  for (i64 i = 0; i < bytes; i += page)
    (void)*const_cast<const volatile u8*>(data + i);
}

// Reads every page of a map, in order, so that the disk reads ahead; no further once a signal came.
static void prefault(const u8* data, i64 bytes) {
  madvise(const_cast<u8*>(data), static_cast<size_t>(bytes), MADV_WILLNEED);
  in_pieces("reading the file", bytes, [&](i64 at, i64 piece) {
    prefault_piece(data + at, piece);
    return !interrupted();
  });
}

// The part of map_file that has a descriptor to close.
static Status map_descriptor(i32 fd, const char* path, MapOptions options, Span<const u8>* bytes) {
  struct stat info;
  if (fstat(fd, &info) != 0) return Status::error(options.error, "cannot examine ", path, ": ", strerror(errno));
  if (S_ISDIR(info.st_mode)) return Status::error(options.error, path, " is a folder, not a file");
  if (!S_ISREG(info.st_mode)) {
    return Status::error(options.error, path, " is not a regular file: a pipe or a device cannot be mapped");
  }
  i64 size = static_cast<i64>(info.st_size);
  *bytes = {};
  if (size == 0) return {};
  if (static_cast<u64>(size) > SIZE_MAX) {
    return Status::error(options.error, path, " has ", size, " bytes: too large for a ", sizeof(void*) * 8, "-bit machine");
  }
  void* at = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) {
    return Status::error(options.error, "cannot map the ", size, " bytes of ", path, ": ", strerror(errno));
  }
#if defined(MADV_HUGEPAGE)
  // Where the file system caches files in huge pages, weights then stream with a five-hundredth of the address look-ups.
  madvise(at, static_cast<size_t>(size), MADV_HUGEPAGE);
#endif
  *bytes = {static_cast<const u8*>(at), size};
  return {};
}

Status map_file(const char* path, MapOptions options, Span<const u8>* bytes) {
  // Non-blocking, or opening a named pipe would wait for its writer.
  i32 fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Status::error(options.error, "cannot open ", path, ": ", strerror(errno));
  Status status = map_descriptor(fd, path, options, bytes);
  close(fd);
  EDGELLM_TRY(status);
  if (bytes->count == 0) return {};
  if (options.lock) {
    status = lock_pages(bytes->data, bytes->count, path);
    if (!status.ok()) {
      release_memory(*bytes);
      *bytes = {};
      return status;
    }
  }
  if (options.prefault) prefault(bytes->data, bytes->count);
  return {};
}

PageFaults page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return {static_cast<i64>(usage.ru_minflt), static_cast<i64>(usage.ru_majflt)};
}

i64 peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#if defined(__APPLE__)
  return static_cast<i64>(usage.ru_maxrss);
#else
  return static_cast<i64>(usage.ru_maxrss) * 1024;
#endif
}

}  // namespace edgellm
