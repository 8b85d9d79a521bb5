// A server's connections without a model, and clients of theirs on socket pairs. Time is an argument.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "platform/sockets.h"
#include "server/connections.h"

using namespace edgellm;

#define DATE "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

inline std::string string_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

inline std::string plain(const std::string& body, const char* connection = "keep-alive") {
  return "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: " + connection + "\r\n\r\n" + body;
}

inline std::string refusal(const std::string& status, const std::string& why, const std::string& field = "") {
  const std::string body = "{\"error\":\"" + why + "\"}";
  return "HTTP/1.1 " + status + "\r\n" DATE "Content-Type: application/json\r\n" + field +
         "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
}

// What the handlers share.
struct Context {
  std::vector<ConnectionId> waiting;
  int handled = 0;
};

inline void echo(void* context, Connections& connections, Connection& c) {
  static_cast<Context*>(context)->handled++;
  const std::string said = string_of(c.request.method) + " " + string_of(c.request.path) + " " + string_of(c.request.query) +
                           ":" + std::string(c.body().data, static_cast<size_t>(c.body().count));
  connections.answer(c, {.type = "text/plain"}, {said.data(), static_cast<i64>(said.size())});
}

inline void later(void* context, Connections&, Connection& c) {
  static_cast<Context*>(context)->waiting.push_back(c.id);
}

inline void events(void*, Connections& connections, Connection& c) {
  CHECK(connections.begin_events(c) && connections.event_comment(c) && connections.event(c, "one") &&
        connections.event(c, "two\nlines") && connections.end_events(c));
}

inline void large(void*, Connections& connections, Connection& c) {
  static const std::string body(300000, 'x');
  connections.answer(c, {.type = "text/plain"}, {body.data(), static_cast<i64>(body.size())});
}

inline void wrong(void*, Connections& connections, Connection& c) {
  connections.answer_error(c, 400, "\"x\" is no number");
}

inline const Route ROUTES[] = {{"GET", "/echo", echo},     {"POST", "/echo", echo},  {"POST", "/later", later},
                               {"GET", "/events", events}, {"GET", "/large", large}, {"GET", "/wrong", wrong}};

struct Server {
  explicit Server(ConnectionLimits limits = small(), i32 listener = -1, Span<const Route> routes = {ROUTES, 6}) {
    Arena size;
    connections.place(size, limits);
    block = std::make_unique<u8[]>(static_cast<size_t>(size.used()) + Arena::ALIGNMENT);
    u8* start = block.get() + (Arena::ALIGNMENT - reinterpret_cast<uintptr_t>(block.get()) % Arena::ALIGNMENT);
    Arena arena(start, size.used());
    connections.place(arena, limits);
    CHECK_EQ(arena.used(), size.used());
    CHECK(open_socket_set(&set).ok());
    connections.start(listener, set, routes, &context);
  }
  Server(const Server&) = delete;
  ~Server() { close_socket(set); }

  static ConnectionLimits small() {
    ConnectionLimits limits;
    limits.connections = 8;
    limits.exchanges = 3;
    limits.answer = 400000;
    limits.fields = 16;
    limits.http.head = 2048;
    limits.http.body = 5000;
    return limits;
  }

  void rounds(int count = 6) {
    for (int i = 0; i < count; i++)
      connections.round(now, 784111777, 0);
  }

  Connections connections;
  Context context;
  i64 now = 0;
  std::unique_ptr<u8[]> block;
  i32 set = -1;
};

// The other end of a connection.
class Client {
 public:
  explicit Client(Server& server, int buffer = 0) : server_(&server) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    for (int end : ends)
      fcntl(end, F_SETFL, O_NONBLOCK);
    if (buffer) setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    fd_ = ends[0];
    CHECK(server.connections.adopt(ends[1], server.now));
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  Client(Client&& other) noexcept : server_(other.server_), fd_(other.fd_), ended_(other.ended_) { other.fd_ = -1; }
  ~Client() { hang_up(); }

  void send(const std::string& bytes) {
    CHECK_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  void end() { shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

  // What is there now.
  std::string receive(size_t most = 1 << 20) {
    std::string out;
    std::vector<char> buffer(std::min<size_t>(most, 65536));
    ssize_t n = 1;
    while (out.size() < most && (n = recv(fd_, buffer.data(), std::min(buffer.size(), most - out.size()), 0)) > 0)
      out.append(buffer.data(), static_cast<size_t>(n));
    ended_ |= n == 0;
    return out;
  }
  bool ended() const { return ended_; }

  std::string ask(const std::string& bytes) {
    send(bytes);
    server_->rounds();
    return receive();
  }

 private:
  Server* server_;
  int fd_ = -1;
  bool ended_ = false;
};

#define HOST "Host: a\r\n"
