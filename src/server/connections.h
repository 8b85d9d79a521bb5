// The connections of a server: a table of a fixed size, each with a bounded buffer for what comes in, and a pool of exchanges, each
// with room for a body and for the longest answer. Nothing here waits for a client: a round waits until some socket can be used,
// moves what can be moved, and calls the handlers of requests that are complete.
//
//   head --> body --> handling --> flushing --> head     kept for another request, which may be here already
//      \________\__________________^    |
//                                       '--> lingering   no more is sent; what still comes is dropped, so that the answer arrives
//
// A handler answers at once, or keeps the connection's id and answers later, whole or event by event. A client that closes, also
// one that only says that it sends no more, while its answer is not complete has gone away: its id finds nothing any more.
#pragma once
#include "base/arena.h"
#include "server/access.h"
#include "server/chunked.h"
#include "server/error_body.h"
#include "server/http.h"
#include "server/response.h"

namespace edgellm {

constexpr i64 SECOND_NS = 1000000000;
constexpr i64 LIMIT_PRECISION = SECOND_NS / 10;  // how late the end of a time may be seen
constexpr i64 READ_AHEAD = 4096;                 // bytes behind the longest head or body that may be read with it

struct ConnectionLimits {
  i32 connections = 256;         // at once; when all are taken the one that has been idle longest makes room
  i32 exchanges = 32;            // requests that are read, waiting or answered at once; 503
  i32 spare = 2;                 // more of them, for requests without a body: health is answered when all others are taken
  i64 answer = 65536;            // bytes of an answer that its client has not taken yet; more ends the connection
  i32 fields = 64;               // header fields of a request; 431
  i64 idle = 60 * SECOND_NS;     // between two requests
  i64 head = 10 * SECOND_NS;     // from the first byte of a head to its last; 408
  i64 body = 60 * SECOND_NS;     // of a body; 408
  i64 patience = 2 * SECOND_NS;  // with a slow body (408), or a first request that does not come, where others wait
  i64 write = 30 * SECOND_NS;    // without a byte that the client takes
  i64 linger = 2 * SECOND_NS;    // after the last answer
  HttpLimits http;
};

struct ConnectionId {
  i32 index = -1;
  u32 generation = 0;
};

// Room for a body and an answer.
struct Exchange {
  Span<char> body, out;
  bool taken = false;
};

// What a request came to, for logs and metrics. The handlers know the second half.
struct RequestFigures {
  i32 status = 0;      // 0: nothing was answered
  i64 began = 0;       // when its head was complete
  i64 bytes = 0;       // sent, heads included
  bool whole = false;  // the client took the whole answer

  i64 first_token = 0;  // when it was there; 0: none
  i32 tokens_in = 0, tokens_out = 0;
  i32 cached = 0;  // of tokens_in
  i32 slot = -1;
  const char* ending = "";
};

constexpr i64 LABEL_BYTES = 200;  // of a method and a path, for logs
constexpr i64 PEER_BYTES = 48;    // of an address

enum class ConnectionState : u8 { unused, head, body, handling, flushing, lingering };

class Connections;
struct Connection;

struct Route {
  Text method, path;  // GET is HEAD too; a path that ends with / is the beginning of longer ones
  void (*handle)(void* context, Connections& connections, Connection& connection);
  bool open = false;  // without a key, where keys are needed

  bool has(Text target) const {
    const bool prefix = path.size > 1 && path[path.size - 1] == '/' && target.size > path.size;
    return path == (prefix ? target.slice(0, path.size) : target);
  }
};

struct Connection {
  ConnectionState state = ConnectionState::unused;
  bool keep = false;              // another request may follow
  bool headless = false;          // the request was HEAD: its answer has no body
  bool asked = false;             // a request began, and its end was not reported yet
  bool fresh = false;             // no request came so far
  bool look = false;              // what came may have completed a head
  bool moved = false;             // it is among those that the next round begins with
  BodyEnd end = BodyEnd::length;  // of an answer in events
  i16 watched = 0;                // what its socket is waited for
  i32 fd = -1;
  ConnectionId id;
  i64 since =
      0;  // when the state began or a head's first byte came; while something is to be sent, when the client took some of it
  Span<char> in;  // what came: a head, and requests that came early
  i64 in_used = 0, head_bytes = 0;
  Span<HttpField> fields;
  HttpRequest request;  // its slices lie in `in`
  const Route* route = nullptr;
  Text origin;  // what Access-Control-Allow-Origin is answered with
  Exchange* exchange = nullptr;
  i64 body_used = 0;
  ChunkedDecoder chunked;
  Span<char> out;  // the exchange's; of a refusal `in`
  i64 out_used = 0, out_sent = 0;
  RequestFigures figures;
  char label[LABEL_BYTES];  // method, a space, path: cut where they are longer
  char peer[PEER_BYTES];    // the client's address; empty where it is not known

  Span<char> body() const { return exchange->body.slice(0, body_used); }  // of a request that is handled
};

class Connections {
 public:
  // Takes memory for everything there will ever be.
  void place(Arena& arena, const ConnectionLimits& limits);

  // `listener` may be -1; `set` is one of open_socket_set. The routes and the context belong to the caller.
  void start(i32 listener, i32 set, Span<const Route> routes, void* context);

  // Without this everybody may ask. The keys and origins belong to the caller.
  void restrict_to(const Access& access) { access_ = access; }

  // Called when an answer was taken, or the client is gone: `figures`, `label` and `peer` say what there was.
  void report_to(void (*ended)(void* context, const Connection& connection)) { ended_ = ended; }

  // One round: sends what was answered since the last, waits for at most so many milliseconds, and takes what came. It costs what
  // happens: of those that are silent only the time limits are looked at, now and then. `now` is of a clock that never goes back; `date` is in seconds since 1970.
  void round(i64 now, i64 date, i32 milliseconds);

  // Takes a connected socket that does not block; false when there is no place for it.
  bool adopt(i32 fd, i64 now, Text peer = {});

  // Takes the connections that the system has taken already, as places for them are free, and then closes the listener. Each
  // connection ends behind its next answer. One that waits for a request ends at once, or within the time to linger if it had none
  // so far.
  void drain();
  bool drained() const { return open_ == 0 && listener_ < 0; }

  i32 open() const { return open_; }  // connections
  i32 busy() const { return busy_; }  // requests that have an exchange

  // A connection whose request is being handled; null when it has gone.
  Connection* find(ConnectionId id);

  // A whole answer. `response` says status, type and further fields (at most 4); the rest is known here.
  void answer(Connection& c, HttpResponse response, Text body);
  void answer_error(Connection& c, const HttpError& error);
  void answer_error(Connection& c, i32 status, Text why) { answer_error(c, {status, why}); }

  // An answer in server-sent events. False: the client did not take what was sent before, and the connection has ended.
  bool begin_events(Connection& c);
  bool event(Connection& c, Text data);
  bool event_comment(Connection& c);
  bool end_events(Connection& c);

 private:
  i16 wanted(const Connection& c) const;
  void watch(Connection& c);
  void watch_listener();
  void note_moved(Connection& c);
  void move_on();
  bool accept_all();
  void stop_listening();
  Connection* longest_idle();
  void serve(Connection& c, i16 found);
  void receive(Connection& c);
  void receive_body(Connection& c);
  void drop_input(Connection& c);
  bool advance(Connection& c);
  bool read_head(Connection& c);
  bool choose_route(Connection& c);
  const Route* find_route(const Connection& c) const;
  void refuse_path(Connection& c);
  void refuse_bytes(Connection& c, i32 status, Text why);
  Exchange* free_exchange(bool with_body);
  bool end_slowest_body();
  void begin_request(Connection& c);
  void take_body(Connection& c, i64 bytes);
  void refuse(Connection& c, const HttpError& error);
  void refuse(Connection& c, i32 status, Text why) { refuse(c, {status, why}); }
  void write_head(Writer& to, Connection& c, HttpResponse response) const;
  bool commit(Connection& c, const Writer& out);
  void send_out(Connection& c);
  void end_answer(Connection& c);
  void expire_all();
  void expire(Connection& c);
  void release(Connection& c);
  void close(Connection& c);
  void report(Connection& c);

  ConnectionLimits limits_;
  Span<Connection> connections_;
  Span<Exchange> exchanges_;
  Span<i32> moved_;  // connections that something was written to, or that may go on, since the last round began
  i64 moved_count_ = 0;
  Span<const Route> routes_;
  void* context_ = nullptr;
  Access access_;
  void (*ended_)(void* context, const Connection& connection) = nullptr;
  i64 now_ = 0, date_ = 0;
  i64 expired_ = 0;               // when the limits were looked at last
  i64 accept_again_ = INT64_MIN;  // not before: the system had no room
  i32 listener_ = -1, set_ = -1;
  i16 listener_watched_ = 0;
  bool full_ = false;  // all are taken and none is idle: others wait in the system's queue
  i32 open_ = 0, busy_ = 0;
  bool draining_ = false;
};

}  // namespace edgellm
