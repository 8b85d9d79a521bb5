// Open files, bandwidth under a held clock, fixed priorities.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <set>
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

TEST(what_lies_at_a_path) {
  Folder folder;
  const std::string path = folder / "file";
  write_file(path, "0123456789");
  const timespec times[] = {{0, 0}, {981173106, 789}};  // 2001-02-03
  CHECK_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  CHECK_EQ(symlink("file", (folder / "link").c_str()), 0);
  for (const char* name : {"file", "link"}) {
    FileFacts facts = {};
    CHECK(examine((folder / name).c_str(), &facts));
    CHECK(facts.regular && !facts.folder);
    CHECK_EQ(facts.bytes, i64{10});
    CHECK_EQ(facts.modified_ns, i64{981173106000000789});
    char real[PATH_BYTES], expected[PATH_BYTES];
    CHECK(real_path((folder / name).c_str(), real) && real_path(path.c_str(), expected));
    CHECK_EQ(std::string(real), std::string(expected));
  }
  FileFacts facts = {};
  CHECK(examine(folder.path.c_str(), &facts) && facts.folder && !facts.regular);
  char real[PATH_BYTES];
  CHECK(!examine((folder / "absent").c_str(), &facts) && !real_path((folder / "absent").c_str(), real));
}

// Names of all lengths, more than one call of the system gives.
TEST(the_names_in_a_folder) {
  Folder folder;
  std::set<std::string> names, found;
  for (size_t i = 1; i <= 255; i++)
    names.insert(std::string(i, static_cast<char>('a' + i % 26)));
  for (const std::string& name : names)
    write_file(folder / name, "");
  auto see = [](void* context, const char* name) {
    CHECK(static_cast<std::set<std::string>*>(context)->insert(name).second);
  };
  CHECK(list_folder(folder.path.c_str(), see, &found));
  CHECK(found == names);
  CHECK(!list_folder((folder / "absent").c_str(), see, &found) && errno == ENOENT);
  CHECK(!list_folder((folder / "a").c_str(), see, &found));
}

TEST(folders_are_made) {
  Folder folder;
  const std::string deep = folder / "a/bc//d/";
  for (int i = 0; i < 2; i++) {  // the second time it is there
    CHECK(make_folder(deep.c_str()));
    struct stat info;
    CHECK(stat(deep.c_str(), &info) == 0 && (info.st_mode & 0777) == 0700);
  }
  write_file(folder / "file", "");
  CHECK(!make_folder((folder / "file").c_str()) && errno == ENOTDIR);
  CHECK(!make_folder((folder / "file/x/y").c_str()) && errno == ENOTDIR);
  CHECK(!make_folder((folder / std::string(256, 'x') + "/y").c_str()) && errno == ENAMETOOLONG);
  CHECK(!make_folder(("/" + std::string(5000, 'x')).c_str()) && errno == ENAMETOOLONG);
  const check::Child child = check::in_child([&] {
    if (chmod(folder.path.c_str(), 0755) != 0 || (getuid() == 0 && setuid(65534) != 0)) return 0;
    if (getuid() != 65534) return 0;  // not root, and its own folder is open to it
    return !make_folder((folder / "new/er").c_str()) && errno == EACCES && !make_folder(folder.path.c_str()) ? 0 : 1;
  });
  CHECK_EQ(child.exit_code, 0);
}

TEST(locks) {
  Folder folder;
  for (const std::string& path : {folder.path, folder / "file"}) {
    if (path != folder.path) write_file(path, "");
    const i32 one = open_to_lock(path.c_str()), other = open_to_lock(path.c_str());
    CHECK(one >= 0 && other >= 0);
    CHECK(take_lock(one) && take_lock(one));
    CHECK(!take_lock(other));
    close_file(one);
    CHECK(take_lock(other));
    close_file(other);
  }
  CHECK_EQ(open_to_lock((folder / "absent").c_str()), -1);
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
