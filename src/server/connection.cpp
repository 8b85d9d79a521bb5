// What becomes of one connection: from bytes to a request, from an answer to bytes.
#include <assert.h>
#include <string.h>

#include "platform/sockets.h"
#include "server/connections.h"

namespace edgellm {

// The socket can be used, or it ended or broke: trying says which.
void Connections::serve(Connection& c, i16 found) {
  if (wanted(c) == 0) return close(c);  // it broke, since nothing else was waited for
  if (c.out_sent < c.out_used) send_out(c);
  if (found != SOCKET_WRITE && (wanted(c) & SOCKET_READ)) receive(c);
  while (advance(c)) {
  }
  if (c.state != ConnectionState::unused && !c.moved) watch(c);
}

void Connections::receive(Connection& c) {
  if (c.state == ConnectionState::body) return receive_body(c);
  if (c.state == ConnectionState::lingering) return drop_input(c);
  char* to = c.in.data + c.in_used;
  i64 n = receive_some(c.fd, {to, c.in.count - c.in_used});
  if (n == SOCKET_WAIT) return;
  if (n <= 0) return close(c);  // nothing is owed to it, or it has gone away
  if (c.in_used == 0) {
    if (c.state == ConnectionState::head) c.since = now_;
    c.look = true;  // what is no HTTP is refused at once
  }
  c.in_used += n;
  c.look |= memchr(to, '\n', static_cast<size_t>(n)) || c.in_used >= limits_.http.head;
}

void Connections::receive_body(Connection& c) {
  i64 room = c.request.chunked ? READ_AHEAD : c.request.body_bytes - c.body_used;
  i64 n = receive_some(c.fd, {c.exchange->body.data + c.body_used, room});
  if (n == SOCKET_WAIT) return;
  if (n <= 0) return close(c);
  take_body(c, n);
}

void Connections::drop_input(Connection& c) {
  char dropped[4096];
  i64 n = receive_some(c.fd, {dropped, sizeof dropped});
  if (n != SOCKET_WAIT && n <= 0) close(c);
}

// One step with what is here; false: it waits for the client or for an answer.
bool Connections::advance(Connection& c) {
  if (c.state == ConnectionState::head) return c.in_used > 0 && c.look && read_head(c);
  if (c.state != ConnectionState::flushing) return false;
  send_out(c);
  if (c.state != ConnectionState::flushing || c.out_sent < c.out_used) return false;
  end_answer(c);
  return true;
}

static void begin_report(Connection& c, i64 now) {
  c.fresh = false;
  c.asked = true;
  c.figures = {};
  c.figures.began = now;
  c.route = nullptr;
  Writer label(c.label);
  write(label, c.request.method, ' ', c.request.path);
}

bool Connections::read_head(Connection& c) {
  c.look = false;
  c.origin = {};
  HttpOutcome outcome = parse_request({c.in.data, c.in_used}, limits_.http, c.fields, &c.request);
  c.headless = c.request.method == "HEAD";
  if (outcome.status) {
    refuse_bytes(c, outcome.status, outcome.why);
    return true;
  }
  if (outcome.bytes == 0) return false;
  c.head_bytes = outcome.bytes;
  c.keep = c.request.keep && !draining_;
  c.since = now_;
  begin_report(c, now_);
  if (choose_route(c)) begin_request(c);
  return true;
}

// Text of all methods that a path has.
static Text allowed_methods(Span<const Route> routes, Text path, Writer& to) {
  for (const Route& route : routes) {
    if (route.has(path)) write(to, to.text().size ? ", " : "", route.method, route.method == "GET" ? ", HEAD" : "");
  }
  return to.text();
}

const Route* Connections::find_route(const Connection& c) const {
  Text method = c.headless ? Text("GET") : c.request.method;
  for (const Route& route : routes_) {
    if (route.has(c.request.path) && route.method == method) return &route;
  }
  return nullptr;
}

// Paths of OpenAI's routes without their beginning, and those of other servers, beside what is there for them.
constexpr const char* MEANT[][2] = {
    {"/chat/completions", "/v1/chat/completions"},
    {"/completions", "/v1/completions"},
    {"/models", "/v1/models"},
    {"/completion", "/v1/completions"},
    {"/api/generate", "/v1/completions"},
    {"/api/chat", "/v1/chat/completions"},
    {"/api/tags", "/v1/models"},
};

// All paths that there are, or the one that was meant.
static void describe_paths(Span<const Route> routes, Text path, Writer& to) {
  for (const auto& [asked, meant] : MEANT) {
    if (path == asked) return (void)write(to, ": use ", meant);
  }
  const char* between = "; there are ";
  for (const Route& route : routes) {
    write(to, between, route.path);
    between = ", ";
  }
}

void Connections::refuse_path(Connection& c) {
  char buffer[128], more[400];
  Writer methods(buffer), words(more);
  Text allowed = allowed_methods(routes_, c.request.path, methods);
  if (allowed.size) {
    write(words, "this path is there for ", allowed, " and no other method");
    return refuse(c, {.status = 405, .message = words.text(), .field = {"Allow", allowed}});
  }
  write(words, "there is nothing at this path");
  describe_paths(routes_, c.request.path, words);
  refuse(c, 404, words.text());
}

// What is wrong with the bytes of a request, and the limit where it is one.
void Connections::refuse_bytes(Connection& c, i32 status, Text why) {
  char buffer[256];
  Writer words(buffer);
  write(words, why);
  if (status == 413) write(words, ": expected at most ", limits_.http.body, " bytes, as --max-body-kb has it");
  if (status == 414) write(words, ": expected at most ", limits_.http.target, " bytes");
  if (status == 431) {
    write(words, ": expected at most ", limits_.http.head, " bytes and ", c.fields.count, " fields, and in chunks ",
          limits_.http.chunk_extra, " bytes");
  }
  refuse(c, status, words.text());
}

// What a browser asks before it lets a script of another page send what it wants to send. Any header may come, as far as their
// names are short.
static void answer_preflight(void*, Connections& connections, Connection& c) {
  const HttpField* headers = http_field(c.request, "access-control-request-headers");
  bool said = headers && headers->value.size > 0 && headers->value.size <= 1024;
  const HttpField fields[] = {
      {"Access-Control-Allow-Methods", "GET, POST"},
      {"Access-Control-Allow-Headers", said ? headers->value : Text("Authorization, Content-Type, X-Api-Key")},
      {"Access-Control-Max-Age", "86400"}};
  connections.answer(c, {.status = 204, .fields = {fields, 3}}, {});
}

constexpr Route PREFLIGHT = {"OPTIONS", "", answer_preflight, true};

bool Connections::choose_route(Connection& c) {
  c.origin = allowed_origin(access_, c.request);
  c.route = find_route(c);
  bool preflight = !c.route && access_.origins.count > 0 && c.request.method == "OPTIONS" && http_field(c.request, "origin");
  if (preflight && http_field(c.request, "access-control-request-method")) {
    if (c.origin.size == 0) {
      refuse(c, 403, "scripts of this origin may not ask here: --cors-origin names those that may");
      return false;
    }
    c.route = &PREFLIGHT;
  }
  if (!(c.route && c.route->open) && !may_ask(access_, c.request)) {
    const bool none = !http_field(c.request, "authorization") && !http_field(c.request, "x-api-key");
    refuse(c, {.status = 401,
               .message = none ? "an API key of this server is expected, as Authorization: Bearer KEY or X-Api-Key: KEY"
                               : "this key is none of the server's, which its --api-key-file has; expected Authorization: "
                                 "Bearer KEY or X-Api-Key: KEY",
               .field = {"WWW-Authenticate", "Bearer"}});
    return false;
  }
  if (!c.route) refuse_path(c);
  return c.route != nullptr;
}

// The body follows, or is here already.
void Connections::begin_request(Connection& c) {
  const HttpRequest& request = c.request;
  bool with_body = request.chunked || request.body_bytes > 0;
  c.exchange = free_exchange(with_body);
  if (!c.exchange && end_slowest_body()) c.exchange = free_exchange(with_body);
  if (!c.exchange) {
    return refuse(c,
                  {.status = 503, .message = "all places for requests are taken: try again", .field = {"Retry-After", "1"}});
  }
  c.exchange->taken = true;
  busy_++;
  c.out = c.exchange->out;
  c.out_used = c.out_sent = c.body_used = 0;
  c.chunked = {};
  c.state = ConnectionState::body;
  if (request.expects_continue && c.in_used == c.head_bytes) {  // it has not gone on by itself
    memcpy(c.out.data, HTTP_CONTINUE.data, static_cast<size_t>(HTTP_CONTINUE.size));
    c.out_used = HTTP_CONTINUE.size;
    note_moved(c);
  }
  // What came with the head.
  i64 here = c.in_used - c.head_bytes;
  i64 n = request.chunked ? here : min(here, request.body_bytes);
  memcpy(c.exchange->body.data, c.in.data + c.head_bytes, static_cast<size_t>(n));
  memmove(c.in.data + c.head_bytes, c.in.data + c.head_bytes + n, static_cast<size_t>(here - n));
  c.in_used -= n;
  take_body(c, n);
}

// So many bytes lie behind what the body has.
void Connections::take_body(Connection& c, i64 bytes) {
  bool whole = false;
  if (c.request.chunked) {
    char* from = c.exchange->body.data + c.body_used;
    ChunkedOutcome outcome = c.chunked.decode({from, bytes}, limits_.http);
    if (outcome.status) return refuse_bytes(c, outcome.status, outcome.why);
    c.body_used += outcome.decoded;
    whole = outcome.whole;
    i64 early = bytes - outcome.taken;  // of the next request
    assert(c.in_used + early <= c.in.count);
    memcpy(c.in.data + c.in_used, from + outcome.taken, static_cast<size_t>(early));
    c.in_used += early;
  } else {
    c.body_used += bytes;
    whole = c.body_used == c.request.body_bytes;
  }
  if (!whole) return;
  c.state = ConnectionState::handling;
  c.route->handle(context_, *this, c);
}

// The answer was taken; then the next request, or the end.
void Connections::end_answer(Connection& c) {
  c.figures.whole = true;
  report(c);
  release(c);
  c.since = now_;
  if (!c.keep) {
    end_sending(c.fd);
    c.state = ConnectionState::lingering;
    return;
  }
  c.in_used -= c.head_bytes;
  memmove(c.in.data, c.in.data + c.head_bytes, static_cast<size_t>(c.in_used));
  c.head_bytes = 0;
  c.look = true;
  c.state = ConnectionState::head;
  full_ = false;
}

void Connections::send_out(Connection& c) {
  while (c.out_sent < c.out_used) {
    i64 n = send_some(c.fd, {c.out.data + c.out_sent, c.out_used - c.out_sent});
    if (n == SOCKET_WAIT) return;
    if (n < 0) return close(c);
    c.out_sent += n;
    c.figures.bytes += n;
    c.since = now_;
  }
  c.out_used = c.out_sent = 0;
}

// The free end of the output, from which what was sent is taken away.
static Writer free_end(Connection& c) {
  c.out_used -= c.out_sent;
  memmove(c.out.data, c.out.data + c.out_sent, static_cast<size_t>(c.out_used));
  c.out_sent = 0;
  return {c.out.data + c.out_used, c.out.count - c.out_used};
}

// What was written to the free end is sent. False: it had no room, because the client takes too little.
bool Connections::commit(Connection& c, const Writer& out) {
  if (out.cut()) {
    close(c);
    return false;
  }
  if (c.out_used == 0) c.since = now_;
  c.out_used += out.text().size;
  note_moved(c);
  return true;
}

// What every answer has: the fields of CORS. Whether there are any depends on the origin that asks, if not every one may.
void Connections::write_head(Writer& to, Connection& c, HttpResponse response) const {
  c.figures.status = response.status;
  HttpField fields[6];
  i64 count = 0;
  for (const HttpField& field : response.fields)
    fields[count++] = field;
  if (c.origin.size) fields[count++] = {"Access-Control-Allow-Origin", c.origin};
  if (access_.origins.count > 0 && !(c.origin == "*")) fields[count++] = {"Vary", "Origin"};
  assert(count <= 6);
  response.date = date_;
  response.fields = {fields, count};
  write_response_head(to, response);
}

// The connection ends behind this. What came is of no more use, so the answer is written over it.
void Connections::refuse(Connection& c, const HttpError& error) {
  if (!c.asked) begin_report(c, now_);
  char buffer[512];
  Writer body(buffer);
  write_error_body(body, c.request.path, error);
  if (c.out_sent < c.out_used) return close(c);  // half of a 100 Continue
  release(c);
  c.out = c.in;
  c.in_used = c.head_bytes = 0;
  c.keep = false;
  c.since = now_;
  c.state = ConnectionState::flushing;
  Writer out = free_end(c);
  Span<const HttpField> fields{&error.field, error.field.name.size > 0 ? 1 : 0};
  write_head(
      out, c,
      {.status = error.status, .type = "application/json", .bytes = body.text().size, .keep = false, .fields = fields});
  if (!c.headless) out.add(body.text());
  (void)commit(c, out);
}

void Connections::answer(Connection& c, HttpResponse response, Text body) {
  assert(c.state == ConnectionState::handling);
  c.keep = c.keep && !draining_;
  response.bytes = body.size;
  response.keep = c.keep;
  Writer out = free_end(c);
  write_head(out, c, response);
  if (!c.headless) out.add(body);
  if (commit(c, out)) c.state = ConnectionState::flushing;
}

void Connections::answer_error(Connection& c, const HttpError& error) {
  char buffer[2560];  // the longest Status, each byte of it escaped
  Writer body(buffer);
  write_error_body(body, c.request.path, error);
  Span<const HttpField> fields{&error.field, error.field.name.size > 0 ? 1 : 0};
  answer(c, {.status = error.status, .type = "application/json", .fields = fields}, body.text());
}

bool Connections::begin_events(Connection& c) {
  assert(c.state == ConnectionState::handling);
  static constexpr HttpField fields[] = {{"Cache-Control", "no-cache"}};
  c.end = c.request.minor > 0 ? BodyEnd::chunks : BodyEnd::close;
  c.keep = c.keep && !draining_ && c.end == BodyEnd::chunks;
  Writer out = free_end(c);
  write_head(out, c, {.type = "text/event-stream", .end = c.end, .keep = c.keep, .fields = {fields, 1}});
  return commit(c, out);
}

bool Connections::event(Connection& c, Text data) {
  if (c.headless) return true;
  Writer out = free_end(c);
  write_event(out, data, c.end);
  return commit(c, out);
}

bool Connections::event_comment(Connection& c) {
  if (c.headless) return true;
  Writer out = free_end(c);
  write_event_comment(out, c.end);
  return commit(c, out);
}

bool Connections::end_events(Connection& c) {
  Writer out = free_end(c);
  if (c.end == BodyEnd::chunks && !c.headless) write_last_chunk(out);
  if (!commit(c, out)) return false;
  c.state = ConnectionState::flushing;
  return true;
}

}  // namespace edgellm
