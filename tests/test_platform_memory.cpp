#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

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

#if defined(__linux__)
// A figure of /proc/self/status in bytes; -1 where there is none.
static i64 status_of(const char* key) {
  static char text[8192];
  const int fd = open("/proc/self/status", O_RDONLY);
  const ssize_t size = read(fd, text, sizeof text - 1);
  close(fd);
  if (size <= 0) return -1;
  text[size] = 0;
  const char* at = std::strstr(text, key);
  return at ? std::atoll(at + std::strlen(key)) * 1024 : -1;
}

static bool sanitized() {
  const char* mode = std::getenv("EDGELLM_MODE");
  return mode && (std::string(mode) == "asan" || std::string(mode) == "tsan");
}

static bool emulated() {
  const char* emulator = std::getenv("EDGELLM_EMULATOR");
  return emulator && *emulator;
}

// Whole pages or huge pages, and not a page more stays taken; a block that is given back is gone.
TEST(no_more_is_taken) {
  if (emulated()) SKIP("an emulator has memory of its own");
  const i64 mb = 1 << 20, page = static_cast<i64>(sysconf(_SC_PAGESIZE));
  struct Row {
    i64 bytes;
    bool huge;
    i64 taken, alignment;
  };
  for (const Row& row :
       {Row{1, true, page, page}, Row{page + 1, true, 2 * page, page}, Row{2 * mb - 1, true, 2 * mb, page},
        Row{2 * mb, true, 2 * mb, 2 * mb}, Row{5 * mb, true, 6 * mb, 2 * mb}, Row{5 * mb + 1, false, 5 * mb + page, page}}) {
    status_of("VmSize:");
    const i64 before = status_of("VmSize:");
    Span<u8> block;
    Status status = take_memory(row.bytes, {.huge_pages = row.huge}, &block);
    const i64 with = status_of("VmSize:");
    CHECK(status.ok());
    CHECK_EQ(block.count, row.taken);
    CHECK_EQ(block_bytes(row.bytes, row.huge), row.taken);
    CHECK_EQ(with - before, row.taken);
    CHECK_EQ(reinterpret_cast<uintptr_t>(block.data) % static_cast<uintptr_t>(row.alignment), uintptr_t{0});
    release_memory(block);
    CHECK_EQ(status_of("VmSize:"), before);
  }
  release_memory({});
}

TEST(locked_memory_is_locked) {
  if (emulated()) SKIP("an emulator has memory of its own");
  Folder folder;
  const std::string path = put(folder, "a", std::string(300000, 'x'));
  const i64 before = status_of("VmLck:");
  Span<u8> block;
  if (before < 0 || !take_memory(1 << 20, {.lock = true}, &block).ok()) SKIP("locking is not allowed here");
  const i64 locked = status_of("VmLck:") - before;
  if (locked == 0) SKIP("locking is not counted here (sanitizers pretend)");
  CHECK_EQ(locked, 1 << 20);
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {.lock = true}, &map).ok());
  CHECK(status_of("VmLck:") - before - locked >= 300000);
  release_memory(map);
  release_memory(block);
  CHECK_EQ(status_of("VmLck:"), before);
  CHECK(take_memory(1 << 20, {}, &block).ok());
  CHECK_EQ(status_of("VmLck:"), before);
  release_memory(block);
}

// Faults of memory that is touched for the first time, the pages of a map that were read ahead, and the most that was resident.
TEST(figures_of_the_process) {
  if (emulated()) SKIP("an emulator has memory of its own");
  const size_t bytes = 24 << 20;  // more than is read ahead at a time
  Folder folder;
  const std::string path = put(folder, "a", std::string(bytes, 'x'));
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {.prefault = true}, &map).ok());
  PageFaults before = page_faults();
  u32 sum = 0;
  for (i64 i = 0; i < map.count; i += 4096)
    sum += map[i];
  CHECK_EQ(sum, 'x' * static_cast<u32>(bytes / 4096));
  // Without: one for 16 pages at best, 256. What a sanitizer notes of memory that is read has pages of its own.
  CHECK(sanitized() || page_faults().minor - before.minor < 32);
  release_memory(map);

  void* fresh = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  before = page_faults();
  std::memset(fresh, 1, bytes);
  const PageFaults after = page_faults();
  CHECK(after.minor - before.minor >= static_cast<i64>(bytes) / (2 << 20));
  CHECK(after.major - before.major <= after.minor - before.minor);
  const i64 peak = peak_resident_bytes(), system = status_of("VmHWM:");
  CHECK(peak >= static_cast<i64>(bytes));
  if (system > 0) CHECK(peak <= 2 * system && system <= 2 * peak);
  munmap(fresh, bytes);
  CHECK(peak_resident_bytes() >= peak);
}
#endif

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

// What is left of it stays, what is lost reads as zeros, and another file is whole.
TEST(the_loss_of_a_file_is_outlived) {
  Folder folder;
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const std::string cut = put(folder, "cut", std::string(5 * page + 7, 'x')),
                    whole = put(folder, "whole", std::string(9, 'y'));
  check::Child child = check::in_child([&] {
    install_signals();
    Span<const u8> map, other;
    if (!map_file(cut.c_str(), {}, &map).ok() || !map_file(whole.c_str(), {}, &other).ok()) return 2;
    watch_map(map);
    watch_map(other);
    outlive_maps();
    if (truncate(cut.c_str(), static_cast<off_t>(2 * page)) != 0 || map_lost(map.data)) return 3;
    for (size_t at : {size_t{0}, 2 * page - 1}) {
      if (map[static_cast<i64>(at)] != 'x' || map_lost(map.data)) return 4;
    }
    for (size_t at : {5 * page + 6, 3 * page, 2 * page, size_t{0}}) {
      if (map[static_cast<i64>(at)] != (at == 0 ? 'x' : 0)) return 5;
    }
    if (!map_lost(map.data) || !map_lost(map.data + 5 * page + 6) || map_lost(map.data + map.count)) return 6;
    return other[8] == 'y' && !map_lost(other.data) && !map_lost(nullptr) ? 0 : 7;
  });
  CHECK_EQ(child.exit_code, 0);
  CHECK_EQ(child.output, std::string());
}

// Eighteen maps are watched, from their first byte to their last, and a fault elsewhere is not taken for one of theirs.
TEST(watched_maps) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  auto fault_at = [&](int map_index, size_t offset) {
    return check::in_child([&] {
      install_signals();
      u8* place[20];
      for (u8*& at : place)
        at = static_cast<u8*>(mmap(nullptr, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
      for (u8* at : place)
        watch_map({at + page, static_cast<i64>(2 * page)});
      volatile u8 byte = *(place[map_index] + offset);
      (void)byte;
      return 77;
    });
  };
  const std::string words = "edgellm: the model file was cut short or its medium was removed while in use\n";
  for (int index : {0, 1, 17}) {
    for (size_t offset : {page, 3 * page - 1}) {
      check::Child child = fault_at(index, offset);
      CHECK_EQ(child.exit_code, 1);
      CHECK_EQ(child.output, words);
    }
  }
  for (check::Child child : {fault_at(0, page - 1), fault_at(0, 3 * page), fault_at(18, page), fault_at(19, page)}) {
    CHECK(child.signal == SIGSEGV || child.signal == SIGBUS || child.exit_code > 1);
    CHECK(!contains(child.output, "medium"));
  }
}

// The first signal that asks to end is the one that counts; a second SIGHUP is the system's echo of the first, and under nohup
// there is none.
TEST(signals_that_ask_to_end) {
  struct Row {
    bool nohup;
    std::vector<int> signals;
    int expected;  // the code that check_interrupted gives, 0 for none; of the process if a signal ends it
    bool ends;
  };
  for (const Row& row :
       {Row{false, {SIGINT}, 130, false}, Row{false, {SIGTERM}, 143, false}, Row{false, {SIGHUP}, 129, false},
        Row{false, {SIGHUP, SIGHUP, SIGHUP}, 129, false}, Row{false, {SIGTERM, SIGHUP}, 143, false},
        Row{false, {SIGHUP, SIGTERM}, 143, true}, Row{false, {SIGINT, SIGTERM}, 143, true},
        Row{false, {SIGTERM, SIGINT}, 130, true}, Row{true, {SIGHUP, SIGHUP}, 0, false},
        Row{true, {SIGHUP, SIGTERM}, 143, false}, Row{false, {SIGPIPE, SIGXFSZ}, 0, false}}) {
    check::Child child = check::in_child([&] {
      signal(SIGHUP, row.nohup ? SIG_IGN : SIG_DFL);
      install_signals();
      for (int number : row.signals)
        raise(number);
      std::printf("alive %d %d", interrupted(), terminated());
      std::fflush(stdout);
      Status status = check_interrupted();
      if (status.text()[0]) return 99;
      return static_cast<int>(status.code());
    });
    CHECK_EQ(child.exit_code, row.expected);
    const bool asked = row.expected != 0, to_end = row.expected == 143 || row.expected == 129;
    CHECK_EQ(child.output, row.ends ? std::string() : "alive " + std::to_string(asked) + " " + std::to_string(to_end));
  }
}

// Also where whoever started the program left so many descriptors open that its own have large numbers.
TEST(waiting_to_read_from_a_large_descriptor) {
  check::Child child = check::in_child([] {
    install_signals();
    rlimit most;
    if (getrlimit(RLIMIT_NOFILE, &most) != 0) return 2;
    most.rlim_cur = min<rlim_t>(most.rlim_max, 5000);
    if (setrlimit(RLIMIT_NOFILE, &most) != 0) return 3;
    int ends[2];
    if (pipe(ends) != 0) return 4;
    const int large = fcntl(ends[0], F_DUPFD, static_cast<int>(most.rlim_cur) - 1);
    if (large < 0) return 5;
    const pid_t parent = getpid(), other = fork();
    if (other == 0) {
      usleep(20000);
      kill(parent, SIGINT);
      _exit(0);
    }
    if (wait_to_read(large) || !interrupted()) return 6;
    set_interrupted(false);
    if (write(ends[1], "x", 1) != 1 || !wait_to_read(large)) return 7;
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
}

// What was there before the wait, what comes meanwhile, and the end of the input are all answers; a signal is one, too.
TEST(waiting_to_read) {
  check::Child child = check::in_child([] {
    install_signals();
    int ends[2];
    if (pipe(ends) != 0) return 2;
    if (write(ends[1], "x", 1) != 1 || !wait_to_read(ends[0])) return 3;
    raise(SIGTERM);
    if (wait_to_read(ends[0])) return 4;
    set_interrupted(false);
    if (!wait_to_read(ends[0])) return 5;
    char byte;
    if (read(ends[0], &byte, 1) != 1) return 6;
    const pid_t parent = getpid(), other = fork();
    if (other == 0) {
      usleep(20000);
      kill(parent, SIGINT);
      _exit(0);
    }
    if (wait_to_read(ends[0]) || !interrupted()) return 7;
    set_interrupted(false);
    close(ends[1]);
    if (!wait_to_read(ends[0])) return 8;  // the end
    if (!wait_to_read(ends[1])) return 9;  // closed: the read will say what is wrong
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, SIGINT) || sigismember(&mask, SIGTERM) || sigismember(&mask, SIGHUP) ? 10 : 0;
  });
  CHECK_EQ(child.exit_code, 0);
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
