// TCP connections that never block. A connection that breaks is an answer, not a signal.
#pragma once
#include "base/status.h"

namespace edgellm {

// A socket of a numeric address, IPv4 or IPv6, that no other program gets. Port 0: any that is free; *port says which. Until it
// listens, who connects is refused.
Status bind_to(const char* address, i32* port, i32* listener);
Status start_listening(i32 listener, const char* address, i32 port);

// Both.
Status listen_on(const char* address, i32* port, i32* listener);

// Whether only programs of this machine reach the address.
bool within_machine(const char* address);

// As many descriptors as the process needs, or an error that says how many it may have.
Status allow_descriptors(i64 needed);

enum : i64 {
  SOCKET_WAIT = -1,    // nothing now
  SOCKET_BROKEN = -2,  // nothing any more
};

// The descriptor of a new connection, or one of these two; SOCKET_BROKEN: the system has no room for one more. The address of the
// other side, without its port, goes to `peer`: at most 39 characters.
i64 accept_connection(i32 listener, Writer& peer);

// The number of bytes, or one of these two. Of receiving 0: the other side sends no more.
i64 receive_some(i32 fd, Span<char> buffer);
i64 send_some(i32 fd, Text bytes);

void end_sending(i32 fd);
void close_socket(i32 fd);

// What is waited for, of many descriptors. The system remembers it (epoll, kqueue), so that waiting costs what happens and not what is
// open: asking about a thousand idle connections with poll took 75 us, as long as a token of a small model.
enum : i16 { SOCKET_READ = 1, SOCKET_WRITE = 4, SOCKET_NEW = -1 };

Status open_socket_set(i32* set);

// Waits for `wanted` of a descriptor from now on, in place of `before` (SOCKET_NEW: of nothing yet). Closing it ends that. False: the
// system has no room for one more.
bool watch_socket(i32 set, i32 fd, i32 index, i16 before, i16 wanted);

struct SocketEvent {
  i32 index;  // that it was watched under
  i16 found;  // of what was wanted, and anything else when the connection ended or broke: reading or writing says which
};
constexpr i32 MAX_SOCKET_EVENTS = 128;

// Waits until one of them can be used, at most so long; a signal ends the wait too. The number of events; those that found no room
// come with the next call.
i32 wait_for_sockets(i32 set, SocketEvent (&events)[MAX_SOCKET_EVENTS], i32 milliseconds);

}  // namespace edgellm
