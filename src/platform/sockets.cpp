#include "platform/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#if defined(__linux__)
#include <sys/epoll.h>
#else
#include <sys/event.h>
#endif
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace edgellm {

#if !defined(MSG_NOSIGNAL)
constexpr int MSG_NOSIGNAL = 0;  // the option below does it
#endif

// What a system without accept4 and MSG_NOSIGNAL needs.
[[maybe_unused]] static void never_block(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  fcntl(fd, F_SETFD, FD_CLOEXEC);
#if defined(SO_NOSIGPIPE)
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
}

union Address {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
};

// The number of its bytes, or 0.
static socklen_t parse_address(const char* text, i32 port, Address* address) {
  memset(address, 0, sizeof *address);
  if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons(static_cast<u16>(port));
    return sizeof address->v4;
  }
  if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
    address->v6.sin6_family = AF_INET6;
    address->v6.sin6_port = htons(static_cast<u16>(port));
    return sizeof address->v6;
  }
  return 0;
}

static const char* way_out(int error) {
  switch (error) {
    case EADDRINUSE:
      return "; another program listens there: --port takes another port, --port 0 any that is free";
    case EADDRNOTAVAIL:
      return "; it is no address of this machine: --host 0.0.0.0 takes all of them";
    case EACCES:
      return "; ports below 1024 are for the administrator: --port takes another";
    default:
      return "";
  }
}

static Status cannot_listen(const char* text, i32 port) {
  return failed("cannot listen on ", text, " port ", port, ": ", strerror(errno), way_out(errno));
}

bool within_machine(const char* text) {
  Address address;
  if (parse_address(text, 0, &address) == 0) return false;
  if (address.any.sa_family == AF_INET) return ntohl(address.v4.sin_addr.s_addr) >> 24 == 127;
  const in6_addr& six = address.v6.sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

Status start_listening(i32 listener, const char* text, i32 port) {
  return listen(listener, SOMAXCONN) == 0 ? Status() : cannot_listen(text, port);
}

Status listen_on(const char* text, i32* port, i32* listener) {
  EDGELLM_TRY(bind_to(text, port, listener));
  const Status status = start_listening(*listener, text, *port);
  if (!status.ok()) close(*listener);
  return status;
}

Status bind_to(const char* text, i32* port, i32* listener) {
  Address address;
  socklen_t size = parse_address(text, *port, &address);
  if (size == 0) return usage_error("\"", text, "\" is no address: expected one such as 127.0.0.1, 0.0.0.0 or ::1");
  int fd = socket(address.any.sa_family, SOCK_STREAM, 0);
  if (fd < 0) return failed("no socket for ", text, ": ", strerror(errno));
  never_block(fd);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &address.any, size) != 0 || getsockname(fd, &address.any, &size) != 0) {
    Status status = cannot_listen(text, *port);
    close(fd);
    return status;
  }
  *port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
  *listener = fd;
  return {};
}

Status allow_descriptors(i64 needed) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= static_cast<rlim_t>(needed)) return {};
  rlim_t most = limit.rlim_max;
  limit.rlim_cur = static_cast<rlim_t>(needed);
  if (most == RLIM_INFINITY || most >= limit.rlim_cur) {
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return {};
  }
  return failed("so many connections need ", needed, " open files, and the system allows ", static_cast<u64>(most),
                ": fewer --connections, or `ulimit -n ", needed, "`");
}

// Of IPv6 all eight groups, in hexadecimal; an IPv4 address that came through an IPv6 socket as what it is.
static void write_address(Writer& to, const Address& address) {
  if (address.any.sa_family != AF_INET && address.any.sa_family != AF_INET6) return;
  const u8* bytes = reinterpret_cast<const u8*>(&address.v4.sin_addr);
  if (address.any.sa_family == AF_INET6) {
    bytes = address.v6.sin6_addr.s6_addr;
    if (!IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr)) {
      for (i32 i = 0; i < 16; i += 2)
        write(to, i ? ":" : "", Hex{static_cast<u64>(bytes[i] << 8 | bytes[i + 1]), 0});
      return;
    }
    bytes += 12;
  }
  write(to, bytes[0], '.', bytes[1], '.', bytes[2], '.', bytes[3]);
}

i64 accept_connection(i32 listener, Writer& peer) {
  Address address = {};
  socklen_t size = sizeof address;
#if defined(__linux__)
  int fd = accept4(listener, &address.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
#else
  int fd = accept(listener, &address.any, &size);
  if (fd >= 0) never_block(fd);
#endif
  if (fd < 0) return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ? SOCKET_BROKEN : SOCKET_WAIT;
  write_address(peer, address);
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // a token goes out when it is there
  return fd;
}

static i64 answer(ssize_t n) {
  if (n >= 0) return n;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? SOCKET_WAIT : SOCKET_BROKEN;
}

i64 receive_some(i32 fd, Span<char> buffer) {
  return answer(recv(fd, buffer.data, static_cast<size_t>(buffer.count), 0));
}

i64 send_some(i32 fd, Text bytes) {
  return answer(send(fd, bytes.data, static_cast<size_t>(bytes.size), MSG_NOSIGNAL));
}

void end_sending(i32 fd) {
  shutdown(fd, SHUT_WR);
}

void close_socket(i32 fd) {
  close(fd);
}

#if defined(__linux__)

static_assert(SOCKET_READ == int{EPOLLIN} && SOCKET_WRITE == int{EPOLLOUT});

Status open_socket_set(i32* set) {
  *set = epoll_create1(EPOLL_CLOEXEC);
  return *set < 0 ? failed("no way to wait for connections: epoll: ", strerror(errno)) : Status();
}

bool watch_socket(i32 set, i32 fd, i32 index, i16 before, i16 wanted) {
  epoll_event event = {};
  event.events = static_cast<u32>(wanted);
  event.data.u32 = static_cast<u32>(index);
  return epoll_ctl(set, before == SOCKET_NEW ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event) == 0;
}

i32 wait_for_sockets(i32 set, SocketEvent (&events)[MAX_SOCKET_EVENTS], i32 milliseconds) {
  epoll_event found[MAX_SOCKET_EVENTS];
  i32 n = max(epoll_wait(set, found, MAX_SOCKET_EVENTS, milliseconds), 0);
  for (i32 i = 0; i < n; i++)
    events[i] = {static_cast<i32>(found[i].data.u32), static_cast<i16>(found[i].events)};
  return n;
}

#else

Status open_socket_set(i32* set) {
  *set = kqueue();
  return *set < 0 ? failed("no way to wait for connections: kqueue: ", strerror(errno)) : Status();
}

bool watch_socket(i32 set, i32 fd, i32 index, i16 before, i16 wanted) {
  struct kevent changes[2];
  int count = 0;
  i16 had = before == SOCKET_NEW ? i16{0} : before;
  auto change = [&](i16 bit, i16 filter) {
    if (((had ^ wanted) & bit) == 0) return;
    u16 action = wanted & bit ? EV_ADD : EV_DELETE;
    EV_SET(&changes[count++], static_cast<uintptr_t>(fd), filter, action, 0, 0, reinterpret_cast<void*>(intptr_t{index}));
  };
  change(SOCKET_READ, EVFILT_READ);
  change(SOCKET_WRITE, EVFILT_WRITE);
  return count == 0 || kevent(set, changes, count, nullptr, 0, nullptr) == 0;
}

i32 wait_for_sockets(i32 set, SocketEvent (&events)[MAX_SOCKET_EVENTS], i32 milliseconds) {
  struct kevent found[MAX_SOCKET_EVENTS];
  timespec limit = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  i32 n = max(kevent(set, nullptr, 0, found, MAX_SOCKET_EVENTS, milliseconds < 0 ? nullptr : &limit), 0);
  for (i32 i = 0; i < n; i++) {
    i16 what = found[i].filter == EVFILT_WRITE ? SOCKET_WRITE : SOCKET_READ;
    events[i] = {static_cast<i32>(reinterpret_cast<intptr_t>(found[i].udata)), what};
  }
  return n;
}

#endif

}  // namespace edgellm
