// A program at a terminal of its own, and what it wrote there. Only for Linux.
#pragma once
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>

struct AtTerminal {
  pid_t pid = -1;  // -1: no terminals here
  int fd = -1;
  std::string seen;  // all of it

  // A command as a shell takes it.
  explicit AtTerminal(const std::string& command) {
    pid = forkpty(&fd, nullptr, nullptr, nullptr);
    if (pid == 0) {
      execl("/bin/sh", "sh", "-c", ("exec " + command).c_str(), nullptr);
      _exit(127);
    }
  }
  ~AtTerminal() {
    if (fd >= 0) close(fd);
  }
  AtTerminal(const AtTerminal&) = delete;

  // Reads what comes within a second; false when nothing can come any more.
  bool read_some() {
    pollfd ready{fd, POLLIN, 0};
    if (poll(&ready, 1, 1000) <= 0) return true;
    char buffer[4096];
    ssize_t n = read(fd, buffer, sizeof buffer);
    if (n > 0) seen.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }

  // Reads until `what` was seen, at most a minute.
  bool wait_for(const std::string& what) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (seen.find(what) == std::string::npos) {
      if (std::chrono::steady_clock::now() > end || !read_some()) {
        std::fprintf(stderr, "never seen: %s; but: %s\n", what.c_str(), seen.c_str());
        return false;
      }
    }
    return true;
  }

  // Reads to its end; the exit code, -1 if a signal ended it.
  int exit_code() {
    while (read_some()) {
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
};
