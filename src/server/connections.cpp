// The table and its rounds; what becomes of one connection is in connection.cpp.
#include "server/connections.h"

#include "platform/sockets.h"

namespace edgellm {

constexpr i32 LISTENER = -1;  // its index in the set

void Connections::place(Arena& arena, const ConnectionLimits& limits) {
  limits_ = limits;
  // Room behind the longest head, and behind the longest body, for what is read at once.
  i64 in_bytes = limits.http.head + READ_AHEAD, body_bytes = max(limits.http.body, in_bytes) + READ_AHEAD;
  connections_ = {arena.take<Connection>(limits.connections), limits.connections};
  exchanges_ = {arena.take<Exchange>(limits.exchanges + limits.spare), limits.exchanges + limits.spare};
  moved_ = {arena.take<i32>(limits.connections), limits.connections};
  for (i32 i = 0; i < limits.connections; i++) {
    Span<char> in{arena.take<char>(in_bytes), in_bytes};
    Span<HttpField> fields{arena.take<HttpField>(limits.fields), limits.fields};
    if (arena.counting()) continue;
    connections_[i] = {};
    connections_[i].id = {i, 0};
    connections_[i].in = in;
    connections_[i].fields = fields;
  }
  for (i64 i = 0; i < exchanges_.count; i++) {
    if (i == limits.exchanges) body_bytes = 0;  // the spare ones
    Span<char> body{arena.take<char>(body_bytes), body_bytes}, out{arena.take<char>(limits.answer), limits.answer};
    if (!arena.counting()) exchanges_[i] = {body, out, false};
  }
}

void Connections::start(i32 listener, i32 set, Span<const Route> routes, void* context) {
  listener_ = listener;
  listener_watched_ = SOCKET_NEW;
  set_ = set;
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

// What is waited for follows from the state.
void Connections::watch(Connection& c) {
  i16 now = wanted(c);
  if (now == c.watched) return;
  (void)watch_socket(set_, c.fd, c.id.index, c.watched, now);  // it is in the set
  c.watched = now;
}

void Connections::watch_listener() {
  if (listener_ < 0) return;
  i16 now = 0;
  if (!full_ && now_ >= accept_again_) now = SOCKET_READ;
  if (now == listener_watched_) return;
  (void)watch_socket(set_, listener_, LISTENER, listener_watched_, now);
  listener_watched_ = now;
}

void Connections::note_moved(Connection& c) {
  if (!c.moved) moved_[moved_count_++] = c.id.index;
  c.moved = true;
}

// What was written is sent, in one piece for each connection.
void Connections::move_on() {
  while (moved_count_ > 0) {
    Connection& c = connections_[moved_[--moved_count_]];
    if (c.state != ConnectionState::unused && c.out_sent < c.out_used) send_out(c);
    while (c.state != ConnectionState::unused && advance(c)) {
    }
    if (c.state != ConnectionState::unused) watch(c);
    c.moved = false;
  }
}

void Connections::round(i64 now, i64 date, i32 milliseconds) {
  now_ = now;
  date_ = date;
  bool moved = moved_count_ > 0;
  move_on();
  watch_listener();
  SocketEvent events[MAX_SOCKET_EVENTS];
  // A request that lay behind an answer may have begun: whoever calls has something to do.
  i32 count = wait_for_sockets(set_, events, moved ? 0 : milliseconds);
  bool knocked = false;
  for (i32 i = 0; i < count; i++) {
    knocked |= events[i].index == LISTENER;
    if (events[i].index == LISTENER) continue;
    Connection& c = connections_[events[i].index];
    if (c.state != ConnectionState::unused) serve(c, events[i].found);  // else it ended in this round
  }
  if (draining_) {
    stop_listening();
  } else if (knocked) {
    accept_all();
  }
  expire_all();
}

// True: the system has no more of them.
bool Connections::accept_all() {
  constexpr i64 pause = SECOND_NS / 10;
  for (;;) {
    Connection* idle = open_ == limits_.connections && !draining_ ? longest_idle() : nullptr;
    full_ = open_ == limits_.connections && !idle;
    if (full_) return false;
    char buffer[PEER_BYTES];
    Writer peer(buffer);
    i64 fd = accept_connection(listener_, peer);
    if (fd == SOCKET_BROKEN) accept_again_ = now_ + pause;
    if (fd < 0) return fd == SOCKET_WAIT;
    if (idle) close(*idle);
    if (!adopt(static_cast<i32>(fd), now_, peer.text())) close_socket(static_cast<i32>(fd));
  }
}

// When everything that the system has taken is here.
void Connections::stop_listening() {
  if (listener_ < 0 || !accept_all()) return;
  close_socket(listener_);
  listener_ = -1;
}

// Of those that wait for a request. The first request of a new one may be on its way.
Connection* Connections::longest_idle() {
  Connection* longest = nullptr;
  for (Connection& c : connections_) {
    bool idle = c.state == ConnectionState::head && c.in_used == 0 && (!c.fresh || now_ - c.since > limits_.patience);
    if (idle && (!longest || c.since < longest->since)) longest = &c;
  }
  return longest;
}

bool Connections::adopt(i32 fd, i64 now, Text peer) {
  for (Connection& c : connections_) {
    if (c.state != ConnectionState::unused) continue;
    if (!watch_socket(set_, fd, c.id.index, SOCKET_NEW, SOCKET_READ)) return false;
    c.watched = SOCKET_READ;
    c.state = ConnectionState::head;
    c.keep = c.look = c.asked = false;
    c.fresh = true;
    c.fd = fd;
    Writer(c.peer).add(peer);
    c.since = now;
    c.in_used = c.head_bytes = c.out_used = c.out_sent = 0;
    open_++;
    return true;
  }
  return false;
}

void Connections::report(Connection& c) {
  if (c.asked && ended_) ended_(context_, c);
  c.asked = false;
}

void Connections::close(Connection& c) {
  report(c);
  close_socket(c.fd);
  release(c);
  c.state = ConnectionState::unused;
  c.id.generation++;
  open_--;
  full_ = false;
}

// The last free one, which is a spare one only where there is no body; null where there is none.
Exchange* Connections::free_exchange(bool with_body) {
  for (i64 i = with_body ? limits_.exchanges : exchanges_.count; i-- > 0;) {
    if (!exchanges_[i].taken) return &exchanges_[i];
  }
  return nullptr;
}

// So that clients who send their bodies slowly, or never, do not keep all others out.
bool Connections::end_slowest_body() {
  Connection* slowest = nullptr;
  for (Connection& c : connections_) {
    bool slow = c.state == ConnectionState::body && now_ - c.since > limits_.patience;
    if (slow && (!slowest || c.since < slowest->since)) slowest = &c;
  }
  if (slowest) refuse(*slowest, 408, "the body of the request took too long, and others wait for its place");
  return slowest != nullptr;
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
    c.keep = false;
    bool idle = c.state == ConnectionState::head && c.in_used == 0;
    if (idle) serve(c, SOCKET_READ);  // what is here already
    if (c.state == ConnectionState::head && c.in_used == 0 && !c.fresh) close(c);
  }
  stop_listening();
}

Connection* Connections::find(ConnectionId id) {
  if (id.index < 0 || id.index >= connections_.count) return nullptr;
  Connection& c = connections_[id.index];
  return c.id.generation == id.generation && c.state == ConnectionState::handling ? &c : nullptr;
}

void Connections::expire_all() {
  if (now_ - expired_ < LIMIT_PRECISION) return;
  expired_ = now_;
  full_ = false;  // one may have been idle for long enough
  for (Connection& c : connections_) {
    if (c.state != ConnectionState::unused) expire(c);
  }
}

void Connections::expire(Connection& c) {
  i64 waited = now_ - c.since;
  if (c.out_sent < c.out_used) {
    if (waited > limits_.write) close(c);
    return;
  }
  switch (c.state) {
    case ConnectionState::head:
      if (c.in_used == 0 && waited > (draining_ ? limits_.linger : limits_.idle)) return close(c);
      if (c.in_used > 0 && waited > limits_.head) refuse(c, 408, "the head of the request took too long");
      return;
    case ConnectionState::body:
      if (waited > limits_.body) refuse(c, 408, "the body of the request took too long");
      return;
    case ConnectionState::lingering:
      if (waited > limits_.linger) close(c);
      return;
    default:
      return;
  }
}

}  // namespace edgellm
