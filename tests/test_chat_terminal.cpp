// edgellm chat at a terminal: marks, Ctrl-C in an answer, Ctrl-C and Ctrl-D between answers.
#if defined(__linux__)
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>

#include "check.h"
#include "make_model.h"

namespace {

struct Terminal {
  pid_t pid = -1;
  int fd = -1;
  std::string seen;

  explicit Terminal(const std::string& arguments) {
    std::string command = "exec " + std::string(std::getenv("EDGELLM")) + " chat " + arguments;
    pid = forkpty(&fd, nullptr, nullptr, nullptr);
    if (pid == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
  }
  ~Terminal() {
    if (fd >= 0) close(fd);
  }

  // Reads until `what` is seen after what was waited for before, at most a minute.
  bool wait_for(const std::string& what) {
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < end) {
      if (size_t at = seen.find(what); at != std::string::npos) {
        seen.erase(0, at + what.size());
        return true;
      }
      pollfd ready{fd, POLLIN, 0};
      if (poll(&ready, 1, 1000) <= 0) continue;
      char buffer[4096];
      ssize_t n = read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      seen.append(buffer, static_cast<size_t>(n));
    }
    std::fprintf(stderr, "never seen: %s; but: %s\n", what.c_str(), seen.c_str());
    return false;
  }
  // One byte more, of an answer.
  bool wait_for_some() {
    char byte;
    bool some = !seen.empty() || read(fd, &byte, 1) == 1;
    seen.clear();
    return some;
  }
  void type(const std::string& keys) { CHECK(write(fd, keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }
  int exit_code() {
    int status = 0;
    for (int tenths = 0; tenths < 600; tenths++) {
      if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      usleep(100000);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return -1;
  }
};

std::string tiny_model() {
  std::string path = temporary_path("chat.tm2");
  std::string command = std::string(std::getenv("EDGELLM_CONVERT")) + " synthetic:tiny " + path + " --chat plain 2>&1";
  CHECK_EQ(std::system(command.c_str()), 0);
  return path;
}

TEST(control_c_stops_the_answer_and_then_ends) {
  std::string path = tiny_model();
  Terminal terminal(path + " -s 1 -t 1 --window 64 -n 1000000000 --pace 200");
  if (terminal.pid < 0) SKIP("no terminals here");
  CHECK(terminal.wait_for("> "));
  terminal.type("Hello\n");
  CHECK(terminal.wait_for("Hello\r\n"));
  CHECK(terminal.wait_for_some());  // the answer has begun, and has no end
  terminal.type("\x03");
  CHECK(terminal.wait_for("\r\n> "));
  terminal.type("/reset\n");
  CHECK(terminal.wait_for("\r\n> "));
  terminal.type("again\n");
  CHECK(terminal.wait_for("again\r\n"));
  CHECK(terminal.wait_for_some());
  terminal.type("\x03");
  CHECK(terminal.wait_for("\r\n> "));
  terminal.type("\x03");
  CHECK_EQ(terminal.exit_code(), 0);
}

// SIGHUP twice, as the shell and the system send it when a terminal is closed.
TEST(sigterm_and_sighup_end_an_answer_and_a_pause) {
  std::string path = tiny_model();
  for (int round = 0; round < 4; round++) {
    const bool answering = round % 2 == 0;
    const int signal = round < 2 ? SIGTERM : SIGHUP;
    Terminal terminal(path + " -s 1 -t 1 --window 64 -n 1000000000 --pace 200");
    if (terminal.pid < 0) SKIP("no terminals here");
    CHECK(terminal.wait_for("> "));
    if (answering) {
      terminal.type("Hello\n");
      CHECK(terminal.wait_for("Hello\r\n"));
      CHECK(terminal.wait_for_some());
    }
    kill(terminal.pid, signal);
    if (signal == SIGHUP) kill(terminal.pid, signal);
    CHECK_EQ(terminal.exit_code(), 128 + signal);
  }
}

TEST(control_d_ends) {
  Terminal terminal(tiny_model() + " -s 1 -n 5");
  if (terminal.pid < 0) SKIP("no terminals here");
  CHECK(terminal.wait_for("> "));
  terminal.type("Hello\n");
  CHECK(terminal.wait_for("\r\n> "));
  terminal.type("\x04");
  CHECK_EQ(terminal.exit_code(), 0);
}

}  // namespace
#else
#include "check.h"
TEST(a_terminal) {
  SKIP("made for Linux");
}
#endif
