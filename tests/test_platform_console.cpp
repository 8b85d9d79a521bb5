#include <fcntl.h>
#include <sys/socket.h>

#include <csignal>
#include <thread>

#include "base/floating_point.h"
#include "check.h"
#include "child.h"
#include "platform/bandwidth.h"
#include "platform/clock.h"
#include "platform/console.h"
#include "platform/signals.h"

using namespace edgellm;

struct Pipe {
  int ends[2];
  Pipe() { CHECK_EQ(pipe(ends), 0); }
  ~Pipe() {
    close_reader();
    close_writer();
  }
  void close_reader() { close_end(ends[0]); }
  void close_writer() { close_end(ends[1]); }
  static void close_end(int& end) {
    if (end >= 0) close(end);
    end = -1;
  }
};

TEST(one_line_is_one_write) {
  Pipe pipe;
  CHECK(output(pipe.ends[1], "a ", 1, Text(" bcd", 2), ' ', Fixed{1.5, 1}, "\n"));
  char buffer[64];
  ssize_t n = read(pipe.ends[0], buffer, sizeof buffer);
  CHECK_EQ(std::string(buffer, static_cast<size_t>(n)), std::string("a 1 b 1.5\n"));
}

TEST(long_literals_arrive) {
  Pipe pipe;
  std::string filler(1000, 'x');
  CHECK(output(pipe.ends[1], filler.c_str(),
               "a literal that is longer than any number and does not fit behind what is there already"));
  char buffer[2000];
  ssize_t n = read(pipe.ends[0], buffer, sizeof buffer);
  CHECK_EQ(n, 1086);
}

TEST(any_length_arrives) {
  for (size_t size : {0u, 1u, 1022u, 1023u, 1024u, 1025u, 5000u, 300000u}) {
    Pipe pipe;
    std::string text(size, 'x'), got;
    std::thread reader([&] {
      got.resize(size + 10);
      i64 n = read_all(pipe.ends[0], got.data(), static_cast<i64>(got.size()));
      got.resize(static_cast<size_t>(n));
    });
    CHECK(output(pipe.ends[1], "<", Text(text.data(), static_cast<i64>(size)), 7, ">"));
    pipe.close_writer();
    reader.join();
    CHECK(got == "<" + text + "7>");
  }
}

TEST(a_pipe_that_does_not_block_is_waited_for) {
  Pipe pipe;
  fcntl(pipe.ends[1], F_SETFL, O_NONBLOCK);
  fcntl(pipe.ends[0], F_SETFL, O_NONBLOCK);
  std::string text(1 << 20, 'x'), got(text.size(), 0);
  i64 n = 0;
  std::thread reader([&] { n = read_all(pipe.ends[0], got.data(), static_cast<i64>(got.size())); });
  sleep_until_ns(now_ns() + 20000000);
  CHECK(write_all(pipe.ends[1], {text.data(), static_cast<i64>(text.size())}));
  reader.join();
  CHECK_EQ(n, static_cast<i64>(text.size()));
  CHECK(got == text);
}

TEST(nobody_reads) {
  std::signal(SIGPIPE, SIG_IGN);
  Pipe pipe;
  pipe.close_reader();
  CHECK(!output(pipe.ends[1], "lost"));
  CHECK(!write_all(-1, "x"));
  char byte;
  CHECK_EQ(read_all(-1, &byte, 1), -1);
}

TEST(terminals_and_others) {
  Pipe pipe;
  CHECK(!is_terminal(pipe.ends[0]) && !is_terminal(-1));
#if defined(__linux__)
  int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0) SKIP("no terminals here");
  CHECK(is_terminal(terminal));
  close(terminal);
#endif
}

// What is there already is given, without waiting for more; the end is 0, and so is a read of what does not fill the buffer.
TEST(reads_of_what_there_is) {
  Pipe pipe;
  char buffer[16] = {};
  CHECK(write_all(pipe.ends[1], "abc"));
  CHECK_EQ(read_some(pipe.ends[0], buffer, 2), 2);
  CHECK_EQ(read_some(pipe.ends[0], buffer + 2, 14), 1);
  CHECK_EQ(std::string(buffer), std::string("abc"));
  CHECK(write_all(pipe.ends[1], "defg"));
  CHECK_EQ(read_all(pipe.ends[0], buffer, 3), 3);
  pipe.close_writer();
  CHECK_EQ(read_all(pipe.ends[0], buffer, 3), 1);
  CHECK_EQ(read_all(pipe.ends[0], buffer, 3), 0);
  CHECK_EQ(read_some(pipe.ends[0], buffer, 3), 0);
  CHECK_EQ(read_some(-1, buffer, 3), -1);
}

// Pieces of every length through one Output: each byte once, in order, in as few writes as they fit in.
TEST(pieces_of_every_length) {
  for (i64 size : {1, 63, 64, 65, 500, 959, 960, 961, 1022, 1023, 1024, 1025, 3000}) {
    Pipe pipe;
    std::string expected, got;
    std::thread reader([&] {
      char buffer[4096];
      for (i64 n; (n = read_some(pipe.ends[0], buffer, sizeof buffer)) > 0;)
        got.append(buffer, static_cast<size_t>(n));
    });
    Output out(pipe.ends[1]);
    for (int i = 0; i < 20; i++) {
      const std::string piece(static_cast<size_t>(size), static_cast<char>('a' + i));
      out.add(Text(piece.data(), size));
      out.add(i);
      expected += piece + std::to_string(i);
    }
    CHECK(out.flush());
    CHECK(out.flush());
    pipe.close_writer();
    reader.join();
    CHECK(got == expected);
  }
}

// Standard output remembers its first failure, and nothing is written behind it.
TEST(the_first_failed_write_to_stdout_is_remembered) {
  check::Child child = check::in_child([] {
    std::signal(SIGPIPE, SIG_IGN);
    if (!check_output().ok()) return 2;
    int ends[2];
    if (pipe(ends) != 0) return 3;
    int before = dup(STDOUT);
    dup2(ends[1], STDOUT);
    close(ends[0]);
    if (print("lost")) return 4;
    dup2(before, STDOUT);
    if (print("after it")) return 5;
    note("kept");
    return static_cast<int>(check_output().code());
  });
  CHECK_EQ(child.exit_code, 141);
  CHECK_EQ(child.output, std::string("kept"));

  child = check::in_child([] {
    close(STDOUT);
    print("lost");
    Status status = check_output();
    note(status.text());
    return static_cast<int>(status.code());
  });
  CHECK_EQ(child.exit_code, 1);
  CHECK_EQ(child.output, std::string("standard output: Bad file descriptor"));
}

TEST(a_measurement_ends_with_a_signal) {
  Threads threads;
  std::string buffer(1 << 20, 'x');
  set_interrupted(true);
  CHECK_EQ(read_bandwidth(threads, {reinterpret_cast<const u8*>(buffer.data()), 1 << 20}, 1000000000), 0.0);
  set_interrupted(false);
  CHECK(read_bandwidth(threads, {reinterpret_cast<const u8*>(buffer.data()), 1 << 20}, 1) > 0);
}

TEST(clocks) {
  i64 begin = now_ns();
  sleep_until_ns(begin + 2000000);
  CHECK(now_ns() >= begin + 2000000);
  i64 now = now_ns();
  sleep_until_ns(now - 1000);  // long past
  sleep_until_ns(-5);
  CHECK(now_ns() - now < 1000000000);
  CHECK(unix_seconds() > 1700000000);
}

TEST(control_c_ends_a_sleep) {
  check::Child child = check::in_child([] {
    install_signals();
    std::thread([] {
      sleep_until_ns(now_ns() + 20000000);
      kill(getpid(), SIGINT);
    }).detach();
    i64 begin = now_ns();
    for (int i = 0; i < 100 && !interrupted(); i++)
      sleep_until_ns(now_ns() + 50000000);
    return now_ns() - begin < 4000000000 ? 0 : 1;
  });
  CHECK_EQ(child.exit_code, 0);
}

#if defined(__x86_64__) || defined(__aarch64__)
TEST(denormals_are_kept) {
#if defined(__x86_64__)
  constexpr u64 FLUSH_UP = 0x1f80 | 0x8040 | 0x4000;  // flush to zero, denormals are zero, round up
#else
  constexpr u64 FLUSH_UP = u64{1} << 24 | u64{1} << 22;
#endif
  volatile f32 tiny = 1e-40f, third = 3;
  set_float_state({FLUSH_UP});
  CHECK_EQ(tiny * 1.0f, 0.0f);
  FloatState host = enter_default_float();
  CHECK(tiny * 1.0f > 0.0f);
  CHECK_EQ(1.0f / third, 0x1.555556p-2f);
  set_float_state(host);
  CHECK_EQ(float_state().control, FLUSH_UP);
  CHECK_EQ(tiny * 1.0f, 0.0f);
  enter_default_float();
}
#endif

// What somebody gave to be read, and nothing else.
TEST(files_and_pipes) {
  Pipe one;
  int sockets[2];
  CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  const int file = open("README.md", O_RDONLY), folder = open("src", O_RDONLY), device = open("/dev/null", O_RDONLY);
  CHECK(is_file_or_pipe(file) && is_file_or_pipe(one.ends[0]));
  CHECK(!is_file_or_pipe(folder) && !is_file_or_pipe(device) && !is_file_or_pipe(sockets[0]));
  for (int fd : {file, folder, device, sockets[0], sockets[1]})
    close(fd);
  CHECK(!is_file_or_pipe(file));  // which is closed
}

TEST(ready_to_be_read) {
  Pipe silent, spoken, ended;
  CHECK_EQ(write(spoken.ends[1], "x", 1), ssize_t{1});
  ended.close_writer();
  const i64 start = now_ns();
  CHECK(!ready_within(silent.ends[0], 20));
  CHECK(now_ns() - start >= 19000000);
  CHECK(ready_within(spoken.ends[0], -1) && ready_within(ended.ends[0], -1));
  CHECK(ready_within(1000000, -1));  // closed: the read will say so
}
