#include "platform/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace edgellm {

static_assert(sizeof(SocketWait) == sizeof(pollfd) && offsetof(SocketWait, fd) == offsetof(pollfd, fd) &&
              offsetof(SocketWait, wanted) == offsetof(pollfd, events) &&
              offsetof(SocketWait, found) == offsetof(pollfd, revents));
static_assert(SOCKET_READ == POLLIN && SOCKET_WRITE == POLLOUT);

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

Status listen_on(const char* text, i32* port, i32* listener) {
  Address address;
  socklen_t size = parse_address(text, *port, &address);
  if (size == 0) return usage_error("\"", text, "\" is no address: expected one such as 127.0.0.1, 0.0.0.0 or ::1");
  int fd = socket(address.any.sa_family, SOCK_STREAM, 0);
  if (fd < 0) return failed("no socket for ", text, ": ", strerror(errno));
  never_block(fd);
  int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, &address.any, size) != 0 || listen(fd, SOMAXCONN) != 0 || getsockname(fd, &address.any, &size) != 0) {
    Status status = failed("cannot listen on ", text, " port ", *port, ": ", strerror(errno));
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
                ": see `ulimit -n`");
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

void wait_for_sockets(Span<SocketWait> waits, i32 milliseconds) {
  int ready = poll(reinterpret_cast<pollfd*>(waits.data), static_cast<nfds_t>(waits.count), milliseconds);
  if (ready > 0) return;
  for (SocketWait& wait : waits)
    wait.found = 0;
}

}  // namespace edgellm
