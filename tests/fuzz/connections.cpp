// What a client sends over a connection, in pieces: a byte says how long each is. What it gets does not depend on them, and when it
// has gone away nothing of it is left.
#include "server/connections.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vector>

#include "input.h"
#include "platform/sockets.h"

using namespace edgellm;

static void require(bool holds) {
  if (!holds) abort();
}

// Sizes and not bytes, so that nothing of an answer is the client's.
static void sizes(void*, Connections& connections, Connection& c) {
  char buffer[64];
  Writer out(buffer);
  connections.answer(c, {.type = "text/plain"}, write(out, c.body().count, ' ', c.request.query.size).text());
}

static void events(void*, Connections& connections, Connection& c) {
  require(connections.begin_events(c) && connections.event(c, "a\nb") && connections.event_comment(c) &&
          connections.end_events(c));
}

// One of them needs the key.
static const Route ROUTES[] = {{"GET", "/", sizes, true}, {"POST", "/", sizes, true}, {"GET", "/e", events}};
static const ApiKey KEY = {"k", 1};
static const Text ORIGIN = "http://a";

static Connections& server() {
  static Connections connections;
  static std::vector<u8> block;
  if (!block.empty()) return connections;
  ConnectionLimits limits;
  limits.connections = 2;
  limits.exchanges = 1;
  limits.answer = 2000;
  limits.fields = 8;
  limits.http = {400, 60, 300, 64};
  Arena size;
  connections.place(size, limits);
  block.resize(static_cast<size_t>(size.used()) + Arena::ALIGNMENT);
  u8* start = block.data() + (Arena::ALIGNMENT - reinterpret_cast<uintptr_t>(block.data()) % Arena::ALIGNMENT);
  Arena arena(start, size.used());
  connections.place(arena, limits);
  i32 set;
  require(open_socket_set(&set).ok());
  connections.start(-1, set, {ROUTES, 3}, nullptr);
  connections.restrict_to({{&KEY, 1}, {&ORIGIN, 1}});
  return connections;
}

static void take(int fd, std::string* got) {
  char buffer[4096];
  for (ssize_t n; (n = recv(fd, buffer, sizeof buffer, 0)) > 0;)
    got->append(buffer, static_cast<size_t>(n));
}

// All that the client gets, but for 100 Continue: whether that is sent depends on whether the body is there already.
static std::string answers(const std::string& bytes, size_t piece) {
  Connections& connections = server();
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  for (int end : ends)
    fcntl(end, F_SETFL, O_NONBLOCK);
  require(connections.adopt(ends[1], 0));
  std::string got;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string part = bytes.substr(at, piece);
    if (send(ends[0], part.data(), part.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(part.size())) break;
    for (i32 i = 0; i < 3; i++)
      connections.round(0, 0, 0);
    take(ends[0], &got);
  }
  for (i32 i = 0; i < 100; i++) {
    const size_t before = got.size();
    connections.round(0, 0, 0);
    take(ends[0], &got);
    if (i > 2 && got.size() == before) break;
  }
  close(ends[0]);
  connections.round(0, 0, 0);
  connections.round(0, 0, 0);
  require(connections.open() == 0 && connections.busy() == 0);
  const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  for (size_t at; (at = got.find(go_on)) != std::string::npos;)
    got.erase(at, go_on.size());
  return got;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const size_t piece = input.take<u8>() + 1u;
  // A head is looked at again only when a line ends in it.
  const std::string bytes = input.rest().substr(0, 3000) + "\n";
  if (answers(bytes, bytes.size() + 1) != answers(bytes, piece)) abort();
  return 0;
}
