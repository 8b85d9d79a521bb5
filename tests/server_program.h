// A server of the program in a process of its own, started as a shell starts it, and clients of it. EDGELLM is the command.
#pragma once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "check.h"
#include "files.h"

constexpr int PATIENCE_MS = 60000;  // for what happens on any machine sooner or later

// Waits until `holds` answers true; false when it did not in a minute.
template <class Holds>
bool comes_true(const Holds& holds) {
  for (int waited = 0; waited < PATIENCE_MS; waited += 5) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return holds();
}

class ServerProgram {
 public:
  // The words behind "serve"; the port is any that is free unless one is given.
  explicit ServerProgram(const std::string& words, int wanted_port = 0) {
    const std::string command = "exec " + std::string(std::getenv("EDGELLM")) + " serve " + words + " --port " +
                                std::to_string(wanted_port) + " </dev/null >" + (folder_ / "out") + " 2>" +
                                (folder_ / "err");
    pid = fork();
    if (pid == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    comes_true([&] { return find_port() || gone(); });
    if (port) return;
    std::fprintf(stderr, "no server from: %s: %s\n", words.c_str(), said().c_str());
    std::exit(1);
  }
  ServerProgram(const ServerProgram&) = delete;
  ServerProgram& operator=(const ServerProgram&) = delete;
  ~ServerProgram() { end(SIGKILL); }

  // What it wrote to stderr so far.
  std::string said() const { return read_file(folder_ / "err"); }

  // Its exit code, or 128 + the signal that ended it; -1 when it goes on for a minute.
  int end(int signal) {
    if (code_ < 0) kill(pid, signal);
    return wait();
  }
  int wait() {
    comes_true([&] { return gone(); });
    return code_;
  }
  bool gone() {
    int status = 0;
    if (code_ < 0 && waitpid(pid, &status, WNOHANG) == pid)
      code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return code_ >= 0;
  }

  // Memory of its own, in KiB; -1 where the system does not say.
  long own_memory() const {
    const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
    const size_t at = status.find("RssAnon:");
    return at == std::string::npos ? -1 : std::atol(status.c_str() + at + 8);
  }

  int port = 0;
  pid_t pid = -1;

 private:
  bool find_port() {
    const std::string text = said(), before = "http://127.0.0.1:";
    const size_t at = text.find(before);
    if (at == std::string::npos || text.find('\n', at) == std::string::npos) return false;
    port = std::atoi(text.c_str() + at + before.size());
    return true;
  }

  Folder folder_;
  int code_ = -1;
};

// A connection to it.
class Caller {
 public:
  // `room` is how many bytes the system keeps for it until they are received; 0: as usual.
  explicit Caller(int port, int room = 0) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    if (room) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  Caller(Caller&& other) noexcept : fd_(other.fd_), connected_(other.connected_), got_(other.got_) { other.fd_ = -1; }
  ~Caller() { hang_up(); }

  bool connected() const { return connected_; }
  // False: the other side has ended the connection.
  bool send(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }
  void end_sending() { shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // With a reset in place of a polite end.
  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    hang_up();
  }

  // All until the other side ends the connection, or a minute has passed without a byte.
  std::string rest() {
    while (receive()) {
    }
    return take(got_.size());
  }
  // One answer with a Content-Length; less when the connection ended within it.
  std::string answer() {
    size_t head, length;
    do {
      head = got_.find("\r\n\r\n");
      const size_t at = got_.find("Content-Length: ");
      length = at < head ? static_cast<size_t>(std::atol(got_.c_str() + at + 16)) : 0;
    } while ((head == std::string::npos || got_.size() < head + 4 + length) && receive());
    return take(head == std::string::npos ? got_.size() : std::min(got_.size(), head + 4 + length));
  }
  // Until a text has come; false: it never does.
  bool sees(const std::string& text) {
    while (!contains(got_, text)) {
      if (!receive()) return false;
    }
    return true;
  }

 private:
  bool receive() {
    pollfd wait{fd_, POLLIN, 0};
    if (poll(&wait, 1, PATIENCE_MS) <= 0) return false;
    char buffer[65536];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n > 0) got_.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  std::string take(size_t bytes) {
    const std::string taken = got_.substr(0, bytes);
    got_.erase(0, bytes);
    return taken;
  }

  int fd_;
  bool connected_ = false;
  std::string got_;
};

// A request with a JSON body, or none.
inline std::string request(const std::string& method, const std::string& path, const std::string& body = "",
                           const std::string& fields = "") {
  std::string out = method + " " + path + " HTTP/1.1\r\nHost: here\r\n" + fields;
  if (!body.empty()) out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

inline int status_of(const std::string& answer) {
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.c_str() + 9) : 0;
}

inline std::string body_of(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  return head == std::string::npos ? "" : answer.substr(head + 4);
}

// Asked on a connection of its own.
inline std::string asked(int port, const std::string& bytes) {
  Caller caller(port);
  return caller.send(bytes) ? caller.answer() : "";
}
