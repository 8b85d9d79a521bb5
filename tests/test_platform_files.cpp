// Open files, bandwidth under a held clock, fixed priorities.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "check.h"
#include "child.h"
#include "files.h"
#include "platform/clock.h"
#include "platform/files.h"
#include "platform/realtime.h"
#include "platform/signals.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace edgellm {

static std::vector<i64> lasted;  // ns that each takes
static size_t looks;
static i64 held_clock() {
  static i64 now = 0;
  if (looks > 0 && looks % 2 == 0) now += lasted[(looks / 2 - 1) % lasted.size()];  // the end of the first is not looked at
  looks++;
  return now;
}

}  // namespace edgellm

#define now_ns held_clock
#include "../src/platform/bandwidth.cpp"
#undef now_ns

using namespace edgellm;

namespace {

std::string error_of(const Status& status) {
  CHECK(status.ok() || status.code() == Code::failed);
  return status.text();
}

}  // namespace

TEST(regular_files) {
  Folder folder;
  const std::string path = folder / "file", pipe = folder / "pipe";
  write_file(path, "0123456789");
  CHECK_EQ(mkfifo(pipe.c_str(), 0600), 0);
  i32 fd = -1;
  CHECK_EQ(error_of(open_regular("--x", path.c_str(), &fd)), std::string());
  u8 buffer[16] = {};
  CHECK_EQ(read_at(fd, buffer, 4, 3), 4);
  CHECK_EQ(std::string(reinterpret_cast<char*>(buffer)), std::string("3456"));
  CHECK_EQ(read_at(fd, buffer, 16, 8), 2);
  CHECK_EQ(std::string(reinterpret_cast<char*>(buffer), 4), std::string("8956"));
  CHECK_EQ(read_at(fd, buffer, 5, 10), 0);
  CHECK_EQ(read_at(fd, buffer, 0, 0), 0);
  CHECK_EQ(read_at(-1, buffer, 1, 0), -1);
  CHECK(!write_at(fd, buffer, 1, 0) && errno == EBADF);  // it is open for reading
  CHECK(!empty_file(fd));
  close_file(fd);
  CHECK_EQ(read_at(fd, buffer, 1, 0), -1);
  CHECK_EQ(error_of(open_regular("--x", (folder / "absent").c_str(), &fd)),
           "--x " + (folder / "absent") + ": No such file or directory");
  CHECK_EQ(error_of(open_regular("--x", folder.path.c_str(), &fd)), "--x " + folder.path + ": not a regular file");
  CHECK_EQ(error_of(open_regular("--x", pipe.c_str(), &fd)), "--x " + pipe + ": not a regular file");
  CHECK(can_read(path.c_str()) && !can_read((folder / "absent").c_str()));
  char program[400];
  const Text place = program_path(program, sizeof program);
  CHECK(contains(std::string(place.data, static_cast<size_t>(place.size)), "test_platform_files") ||
        contains(std::string(place.data, static_cast<size_t>(place.size)), "qemu"));
}

TEST(written_files) {
  Folder folder;
  const std::string path = folder / "file";
  write_file(path, "0123456789");
  const i32 fd = open(path.c_str(), O_RDWR);
  const u8 bytes[] = {'a', 'b', 'c'};
  CHECK(write_at(fd, bytes, 3, 2) && write_at(fd, bytes, 0, 5) && write_at(fd, bytes, 2, 12));
  CHECK(sync_file(fd));
  CHECK_EQ(read_file(path), std::string("01abc56789\0\0ab", 14));
  CHECK(empty_file(fd));
  CHECK_EQ(read_file(path), std::string());
  close(fd);
  CHECK(!sync_file(fd));
  check::Child child = check::in_child([&] {  // no more than so many bytes
    const rlimit most{2, 2};
    std::signal(SIGXFSZ, SIG_IGN);
    const i32 limited = open(path.c_str(), O_RDWR);
    if (setrlimit(RLIMIT_FSIZE, &most) != 0) return 2;
    return write_at(limited, bytes, 3, 0) || errno != EFBIG ? 1 : 0;
  });
  if (child.exit_code != 2) CHECK(child.exit_code == 0 || std::getenv("EDGELLM_EMULATOR"));
}

// The best pass after the first counts, and each reads everything once.
TEST(the_read_bandwidth) {
  std::vector<u8> buffer((9 << 20) + 1000);
  Threads threads;
  auto rate = [&](std::vector<i64> lasting, i32 count) {
    lasted = lasting, looks = 0;
    return read_bandwidth(threads, {buffer.data(), static_cast<i64>(buffer.size())}, count);
  };
  const f64 bytes = static_cast<f64>(buffer.size());
  CHECK_EQ(rate({4000, 2000, 3000}, 3), bytes * 1e9 / 2000);
  CHECK_EQ(rate({4000}, 1), bytes * 1e9 / 4000);
  CHECK_EQ(rate({5000, 1}, 1), bytes * 1e9 / 5000);
  CHECK_EQ(rate({0}, 1), 0.0);
  for (size_t i = 0; i < buffer.size(); i++)
    buffer[i] = static_cast<u8>(i * 7 + i / 256);
  for (i64 size : {0, 127, 128, 255, 256, 1280}) {
    u64 expected = 0;
    for (i64 i = 0; i < size / 128 * 128; i += 8) {
      u64 word;
      std::memcpy(&word, buffer.data() + 3 + i, 8);
      expected += word;
    }
    CHECK_EQ(sum(buffer.data() + 3, size), expected);
  }
  set_interrupted(true);
  CHECK_EQ(rate({4000}, 1), 0.0);
  set_interrupted(false);
}

TEST(the_buffer_for_it) {
  const i64 mb = 1 << 20;
  CHECK_EQ(bandwidth_buffer_bytes(0, 0), 64 * mb);
  CHECK_EQ(bandwidth_buffer_bytes(16 * mb, 0), 64 * mb);
  CHECK_EQ(bandwidth_buffer_bytes(17 * mb, 0), 68 * mb);
  CHECK_EQ(bandwidth_buffer_bytes(17 * mb, 1024 * mb), 68 * mb);
  CHECK_EQ(bandwidth_buffer_bytes(17 * mb, 80 * mb), 10 * mb);
}

#if defined(__linux__)
TEST(fixed_priorities) {
  check::Child child = check::in_child([] {
    Status status = start_realtime();
    std::fputs(status.text(), stdout);
    std::fflush(stdout);
    if (!status.ok()) return status.code() == Code::failed ? 2 : 9;
    sched_param parameters = {};
    sched_getparam(0, &parameters);
    return sched_getscheduler(0) == SCHED_FIFO && parameters.sched_priority == 40 ? 0 : 1;
  });
  if (child.exit_code == 2) {
    CHECK(contains(child.output, "--realtime: SCHED_FIFO was refused ("));
  } else {
    CHECK_EQ(child.exit_code, 0);
  }
}
#endif
