// `edgellm serve` as a process of its own on a free port, and clients of it. Whatever is waited for has half a minute.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fcntl.h>
#include <csignal>
#include <cstdlib>
#include <string>

#include "check.h"
#include "files.h"

class ServerProcess {
 public:
  // The words are a shell's: `models/stories.tm2 --log`. `before` stands before the command in the shell, `pipe` is the size of its
  // standard error, 0: the system's.
  explicit ServerProcess(const std::string& words, const std::string& before = "", int pipe_bytes = 0) {
    int ends[2];
    CHECK(pipe(ends) == 0);
#if defined(F_SETPIPE_SZ)
    if (pipe_bytes) fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes);
#else
    (void)pipe_bytes;
#endif
    const std::string command = before + "exec " + std::getenv("EDGELLM") + " serve --port 0 " + words;
    pid_ = fork();
    if (pid_ == 0) {
      dup2(ends[1], 2);
      close(ends[0]);
      close(ends[1]);
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    close(ends[1]);
    errors_ = ends[0];
    for (std::string line = next_line(); !line.empty() && port_ == 0; line = port_ ? line : next_line()) {
      const size_t at = line.find(" at http://");
      if (at == std::string::npos) {
        notes += line + "\n";
        continue;
      }
      ready = line;
      port_ = std::atoi(line.c_str() +
                        line.find(':', line.find(']', at) == std::string::npos ? at + 11 : line.find(']', at)) + 1);
    }
    CHECK(port_ > 0);
  }
  ServerProcess(const ServerProcess&) = delete;
  ~ServerProcess() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      (void)end();
    }
    close(errors_);
  }

  std::string ready, notes;  // the line that says that it listens, and those before

  int port() const { return port_; }
  pid_t pid() const { return pid_; }

  // Memory of its own, in KiB; -1 where the system does not say.
  long own_memory() const {
    const std::string status = read_file("/proc/" + std::to_string(pid_) + "/status");
    const size_t at = status.find("RssAnon:");
    return at == std::string::npos ? -1 : std::atol(status.c_str() + at + 8);
  }
  void send_signal(int signal) { CHECK(kill(pid_, signal) == 0); }

  // Waits for its end: the exit code, or -1 - the signal that ended it.
  int end() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1 - WTERMSIG(status);
  }

  // What it says next on standard error; empty: nothing more.
  std::string next_line() {
    for (;;) {
      const size_t end = said_.find('\n');
      if (end != std::string::npos) {
        const std::string line = said_.substr(0, end);
        said_.erase(0, end + 1);
        return line;
      }
      pollfd wait{errors_, POLLIN, 0};
      char buffer[4096];
      const ssize_t n = poll(&wait, 1, 30000) == 1 ? read(errors_, buffer, sizeof buffer) : 0;
      if (n <= 0) return said_;
      said_.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  pid_t pid_ = -1;
  int errors_ = -1, port_ = 0;
  std::string said_;
};

// A connection to a port of this machine; -1: nobody listens there.
inline int connect_to_port(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{30, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

inline void send_all(int fd, const std::string& bytes) {
  CHECK_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
}

// All that comes to the end of the connection, which is closed.
inline std::string receive_all(int fd) {
  std::string all;
  char buffer[65536];
  for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;)
    all.append(buffer, static_cast<size_t>(n));
  close(fd);
  return all;
}

// "POST /path" with a body; the connection ends behind the answer.
inline std::string http_request(const std::string& line, const std::string& body = "", const std::string& fields = "") {
  return line + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields +
         (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" + body;
}

// The whole answer.
inline std::string ask_port(int port, const std::string& line, const std::string& body = "",
                            const std::string& fields = "") {
  const int fd = connect_to_port(port);
  if (fd < 0) return "nobody listens";
  send_all(fd, http_request(line, body, fields));
  return receive_all(fd);
}

inline int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.c_str() + 9) : 0;
}

inline std::string body_of(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "" : answer.substr(end + 4);
}

// Until it holds; false when it does not for half a minute.
template <class Holds>
bool comes_true(const Holds& holds) {
  for (int i = 0; i < 3000; i++) {
    if (holds()) return true;
    usleep(10000);
  }
  return false;
}
