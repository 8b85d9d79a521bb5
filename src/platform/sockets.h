// TCP connections that never block. A connection that breaks is an answer, not a signal.
#pragma once
#include "base/status.h"

namespace edgellm {

// A listening socket on a numeric address, IPv4 or IPv6. Port 0: any that is free; *port says which.
Status listen_on(const char* address, i32* port, i32* listener);

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

// Same as the system's pollfd.
struct SocketWait {
  i32 fd;      // negative: skipped
  i16 wanted;  // SOCKET_READ | SOCKET_WRITE
  i16 found;   // the same, and anything else when the connection ended or broke: reading or writing says which
};
enum : i16 { SOCKET_READ = 1, SOCKET_WRITE = 4 };

// Waits until one of them can be used, at most so long; a signal ends the wait too.
void wait_for_sockets(Span<SocketWait> waits, i32 milliseconds);

}  // namespace edgellm
