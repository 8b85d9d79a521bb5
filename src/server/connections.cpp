// The table and its rounds; what becomes of one connection is in connection.cpp.
#include "server/connections.h"

#include "platform/sockets.h"

namespace edgellm {

void Connections::place(Arena& arena, const ConnectionLimits& limits) {
  limits_ = limits;
  // Room behind the longest head, and behind the longest body, for what is read at once.
  i64 in_bytes = limits.http.head + READ_AHEAD, body_bytes = max(limits.http.body, in_bytes) + READ_AHEAD;
  connections_ = {arena.take<Connection>(limits.connections), limits.connections};
  exchanges_ = {arena.take<Exchange>(limits.exchanges), limits.exchanges};
  waits_ = {arena.take<SocketWait>(limits.connections + 1), limits.connections + 1};
  for (i32 i = 0; i < limits.connections; i++) {
    Span<char> in{arena.take<char>(in_bytes), in_bytes};
    Span<HttpField> fields{arena.take<HttpField>(limits.fields), limits.fields};
    if (arena.counting()) continue;
    connections_[i] = {};
    connections_[i].id = {i, 0};
    connections_[i].in = in;
    connections_[i].fields = fields;
  }
  for (i32 i = 0; i < limits.exchanges; i++) {
    Span<char> body{arena.take<char>(body_bytes), body_bytes}, out{arena.take<char>(limits.answer), limits.answer};
    if (!arena.counting()) exchanges_[i] = {body, out, false};
  }
}

void Connections::start(i32 listener, Span<const Route> routes, void* context) {
  listener_ = listener;
  routes_ = routes;
  context_ = context;
}

i16 Connections::wanted(const Connection& c) const {
  i16 events = 0;
  if (c.out_sent < c.out_used) events |= SOCKET_WRITE;
  bool reads = c.state == ConnectionState::lingering || c.state == ConnectionState::body ||
               ((c.state == ConnectionState::head || c.state == ConnectionState::handling) && c.in_used < c.in.count);
  if (reads) events |= SOCKET_READ;
  return events;
}

void Connections::round(i64 now, i64 date, i32 milliseconds) {
  now_ = now;
  date_ = date;
  // Where all are taken and none is idle, others wait in the system's queue.
  bool accepts = listener_ >= 0 && !draining_ && now >= accept_again_ && (open_ < limits_.connections || longest_idle());
  waits_[0] = {accepts ? listener_ : -1, SOCKET_READ, 0};
  for (i64 i = 0; i < connections_.count; i++) {
    const Connection& c = connections_[i];
    waits_[i + 1] = {c.state == ConnectionState::unused ? -1 : c.fd, wanted(c), 0};
  }
  wait_for_sockets(waits_, milliseconds);
  for (i64 i = 0; i < connections_.count; i++) {
    Connection& c = connections_[i];
    if (c.state == ConnectionState::unused) continue;
    if (waits_[i + 1].found) serve(c, waits_[i + 1].found);
    if (c.state != ConnectionState::unused) expire(c);
  }
  if (waits_[0].found) accept_all();
}

void Connections::accept_all() {
  constexpr i64 pause = SECOND_NS / 10;
  for (;;) {
    Connection* idle = open_ == limits_.connections ? longest_idle() : nullptr;
    if (open_ == limits_.connections && !idle) return;
    i64 fd = accept_connection(listener_);
    if (fd == SOCKET_BROKEN) accept_again_ = now_ + pause;
    if (fd < 0) return;
    if (idle) close(*idle);
    adopt(static_cast<i32>(fd), now_);
  }
}

// Of those that wait for a request.
Connection* Connections::longest_idle() {
  Connection* longest = nullptr;
  for (Connection& c : connections_) {
    bool idle = c.state == ConnectionState::head && c.in_used == 0;
    if (idle && (!longest || c.since < longest->since)) longest = &c;
  }
  return longest;
}

bool Connections::adopt(i32 fd, i64 now) {
  for (Connection& c : connections_) {
    if (c.state != ConnectionState::unused) continue;
    c.state = ConnectionState::head;
    c.keep = c.look = false;
    c.fd = fd;
    c.since = now;
    c.in_used = c.head_bytes = c.out_used = c.out_sent = 0;
    open_++;
    return true;
  }
  return false;
}

void Connections::close(Connection& c) {
  close_socket(c.fd);
  release(c);
  c.state = ConnectionState::unused;
  c.id.generation++;
  open_--;
}

void Connections::release(Connection& c) {
  if (!c.exchange) return;
  c.exchange->taken = false;
  c.exchange = nullptr;
  busy_--;
}

void Connections::drain() {
  draining_ = true;
  for (Connection& c : connections_) {
    if (c.state == ConnectionState::head && c.in_used == 0) close(c);
    c.keep = false;
  }
}

Connection* Connections::find(ConnectionId id) {
  if (id.index < 0 || id.index >= connections_.count) return nullptr;
  Connection& c = connections_[id.index];
  return c.id.generation == id.generation && c.state == ConnectionState::handling ? &c : nullptr;
}

void Connections::expire(Connection& c) {
  i64 waited = now_ - c.since;
  if (c.out_sent < c.out_used) {
    if (waited > limits_.write) close(c);
    return;
  }
  switch (c.state) {
    case ConnectionState::head:
      if (c.in_used == 0 && waited > limits_.idle) return close(c);
      if (c.in_used > 0 && waited > limits_.head) refuse(c, 408, "the head of the request took too long", {});
      return;
    case ConnectionState::body:
      if (waited > limits_.body) refuse(c, 408, "the body of the request took too long", {});
      return;
    case ConnectionState::lingering:
      if (waited > limits_.linger) close(c);
      return;
    default:
      return;
  }
}

}  // namespace edgellm
