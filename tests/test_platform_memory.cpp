#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>

#include "check.h"
#include "child.h"
#include "files.h"
#include "platform/memory.h"
#include "platform/signals.h"

using namespace edgellm;

// The path of a file of the folder, written anew.
static std::string put(const Folder& folder, const char* name, const std::string& bytes) {
  write_file(folder / name, bytes);
  return folder / name;
}

TEST(blocks_are_zero_and_aligned) {
  for (i64 bytes : {i64{1}, i64{4097}, i64{3} << 20, i64{7} * 1000 * 1000}) {
    Span<u8> block;
    Status status = take_memory(bytes, {}, &block);
    CHECK(status.ok());
    CHECK(block.count >= bytes);
    CHECK_EQ(reinterpret_cast<uintptr_t>(block.data) % 4096, uintptr_t{0});
    bool zero = true;
    for (u8 value : block)
      zero &= value == 0;
    CHECK(zero);
    std::memset(block.data, 1, static_cast<size_t>(block.count));
    release_memory(block);
  }
}

TEST(blocks_fault_once) {
  Span<u8> block;
  Status status = take_memory(8 << 20, {}, &block);
  CHECK(status.ok());
  i64 before = page_faults().minor;
  std::memset(block.data, 1, static_cast<size_t>(block.count));
  CHECK(page_faults().minor - before < 100);  // 2048 pages of 4 KiB
  CHECK(peak_resident_bytes() > 8 << 20);
  release_memory(block);
}

TEST(more_than_there_is) {
  Span<u8> block;
  Status status = take_memory(i64{1} << 60, {}, &block);
  CHECK(status.code() == Code::failed);
  CHECK(std::strstr(status.text(), "1152921504606846976"));
}

TEST(maps_a_file) {
  Folder folder;
  std::string bytes(10000, 'x');
  bytes[9999] = 'y';
  for (bool prefault : {false, true}) {
    Span<const u8> map;
    Status status = map_file(put(folder, "a", bytes).c_str(), {.prefault = prefault}, &map);
    CHECK(status.ok());
    CHECK_EQ(map.count, 10000);
    CHECK_EQ(map[0], 'x');
    CHECK_EQ(map[9999], 'y');
    release_memory(map);
  }
  Span<const u8> map{reinterpret_cast<const u8*>("old"), 3};
  Status status = map_file(put(folder, "empty", "").c_str(), {.prefault = true, .lock = true}, &map);
  CHECK(status.ok());
  CHECK_EQ(map.count, 0);
}

static void check_refused(const std::string& path, const char* why) {
  Span<const u8> map;
  Status status = map_file(path.c_str(), {}, &map);
  CHECK(status.code() == Code::bad_model);
  CHECK(std::strstr(status.text(), path.c_str()));
  CHECK(std::strstr(status.text(), why));
  status = map_file(path.c_str(), {.error = Code::usage}, &map);
  CHECK(status.code() == Code::usage);
}

TEST(files_that_cannot_be_mapped) {
  Folder folder;
  check_refused(folder / "missing", "No such file");
  check_refused(folder.path, "is a folder");
  check_refused("/dev/null", "not a regular file");
  std::string pipe = folder / "pipe";
  CHECK_EQ(mkfifo(pipe.c_str(), 0600), 0);
  check_refused(pipe, "not a regular file");  // and does not wait for a writer
}

TEST(locks_where_allowed) {
  check::Child child = check::in_child([] {
    rlimit none{0, 0};
    if (setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 2;
    if (geteuid() == 0 && setuid(65534) != 0) return 2;
    Span<u8> block;
    Status status = take_memory(1 << 20, {.lock = true}, &block);
    std::printf("%s\n", status.text());
    std::fflush(stdout);
    return status.ok() ? 3 : 0;
  });
  if (child.exit_code == 2) SKIP("cannot lower the limit on locked memory here");
  if (child.exit_code == 3) SKIP("locking is not limited here (sanitizers and emulators pretend)");
  CHECK_EQ(child.exit_code, 0);
  CHECK(child.output.find("ulimit -l") != std::string::npos);
}

// The sum of a map whose file was cut to nothing meanwhile.
static int read_cut_file(const std::string& path, bool watched) {
  install_signals();
  Span<const u8> map;
  if (!map_file(path.c_str(), {}, &map).ok()) return 2;
  if (watched) watch_map(map);
  if (truncate(path.c_str(), 0) != 0) return 2;
  volatile u8 byte = map[map.count - 1];
  (void)byte;
  return 3;
}

TEST(a_file_that_is_cut_while_in_use) {
  Folder folder;
  std::string path = put(folder, "a", std::string(100000, 'x'));
  check::Child child = check::in_child([&] { return read_cut_file(path, true); });
  CHECK_EQ(child.exit_code, 1);
  CHECK_EQ(child.output, std::string("edgellm: the model file was cut short or its medium was removed while in use\n"));
  path = put(folder, "b", std::string(100000, 'x'));
  child = check::in_child([&] { return read_cut_file(path, false); });
  CHECK(child.signal == SIGBUS || child.exit_code > 3);  // as without us: a crash is not hidden
}

TEST(control_c) {
  check::Child child = check::in_child([] {
    install_signals();
    raise(SIGPIPE);
    if (interrupted() || !check_interrupted().ok()) return 2;
    raise(SIGINT);
    if (!interrupted() || check_interrupted().code() != Code::interrupted) return 3;
    set_interrupted(false);
    if (interrupted()) return 4;
    raise(SIGINT);
    if (!interrupted() || terminated()) return 5;
    set_interrupted(false);
    raise(SIGTERM);
    if (!interrupted() || !terminated() || check_interrupted().code() != Code::terminated) return 6;
    raise(SIGINT);
    return 7;
  });
  CHECK_EQ(child.exit_code, 128 + SIGINT);
}
