// Clients that are wrong, slow, rude or gone, against a server in a process of its own: each is answered as it deserves, nobody else
// waits for it, and afterwards every place is free and no memory was taken. EDGELLM_ABORTS is how many requests are broken off (400).
#include <algorithm>
#include <random>
#include <vector>

#include "files.h"
#include "server_process.h"

namespace {

// A connection to the server.
class Caller {
 public:
  explicit Caller(int port) : fd_(connect_to_port(port)) {}
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  Caller(Caller&& other) noexcept : fd_(other.fd_), got_(other.got_) { other.fd_ = -1; }
  ~Caller() { hang_up(); }

  // False: the other side has ended the connection.
  bool send(const std::string& bytes) {
    for (size_t sent = 0; sent < bytes.size();) {
      const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) return false;
      sent += static_cast<size_t>(n);
    }
    return true;
  }
  void end_sending() { shutdown(fd_, SHUT_WR); }
  void hang_up() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  // With a reset in place of a polite end.
  void reset() {
    const linger at_once{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    hang_up();
  }

  // All until the other side ends the connection, or half a minute has passed without a byte.
  std::string rest() {
    while (receive()) {
    }
    return take(got_.size());
  }
  // One answer with a Content-Length; less when the connection ended within it.
  std::string answer() {
    size_t head, length;
    do {
      head = got_.find("\r\n\r\n");
      const size_t at = got_.find("Content-Length: ");
      length = at < head ? static_cast<size_t>(std::atol(got_.c_str() + at + 16)) : 0;
    } while ((head == std::string::npos || got_.size() < head + 4 + length) && receive());
    return take(head == std::string::npos ? got_.size() : std::min(got_.size(), head + 4 + length));
  }

 private:
  bool receive() {
    char buffer[65536];
    const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
    if (n > 0) got_.append(buffer, static_cast<size_t>(n));
    return n > 0;
  }
  std::string take(size_t bytes) {
    const std::string taken = got_.substr(0, bytes);
    got_.erase(0, bytes);
    return taken;
  }

  int fd_;
  std::string got_;
};

// A request with a JSON body, or none; the connection goes on.
std::string request(const std::string& line, const std::string& body = "") {
  std::string out = line + " HTTP/1.1\r\nHost: here\r\n";
  if (!body.empty()) out += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return out + "\r\n" + body;
}

// Asked on a connection of its own.
std::string asked(int port, const std::string& bytes) {
  Caller caller(port);
  return caller.send(bytes) ? caller.answer() : "";
}

constexpr int SLOTS = 4, QUEUE = 8;

const char* const MODEL = "models/stories.tm2 --threads 1 --slots 4 --queue 8";

std::string completion(int tokens) {
  return request("POST /v1/edge/completions",
                 R"({"prompt":"Once upon a time","max_tokens":)" + std::to_string(tokens) + "}");
}

// As many requests at once as there are places, and all are answered: every place is free, as soon as it was seen that those who
// had them have gone.
void check_all_places(int port) {
  CHECK(comes_true([&] {
    std::vector<Caller> callers;
    bool all = true;
    for (int i = 0; i < SLOTS + QUEUE; i++) {
      callers.emplace_back(port);
      all &= callers.back().send(completion(4));
    }
    for (Caller& caller : callers)
      all &= status_of(caller.answer()) == 200;
    return all;
  }));
  CHECK(comes_true([&] {
    const std::string health = asked(port, request("GET /v1/edge/health"));
    return status_of(health) == 200 && contains(health, "\"slots_busy\":0,") && contains(health, "\"queue_length\":0,");
  }));
}

size_t answers_in(const std::string& bytes) {
  size_t count = 0;
  for (size_t at = 0; (at = bytes.find("\r\nDate: ", at)) != std::string::npos; at++)
    count++;
  return count;
}

struct Wrong {
  int status;  // of the only answer; the connection ends behind it
  std::string bytes;
};

const std::string H = "Host: here\r\n", POST = "POST /v1/edge/completions HTTP/1.1\r\n" + H;

// Behind each stands a request that whoever reads it differently would answer.
std::vector<Wrong> wrong_requests() {
  return {
      {400, std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11)},  // TLS
      {400, std::string("\0\0\0\0", 4)},
      {400, "GET /\r\n"},  // HTTP/0.9
      {505, "PRI * HTTP/2.0\r\n" + H + "\r\nSM\r\n\r\n"},
      {400, "GET / HTTP/1.1\nHost: here\n\n"},
      {400, "GET / HTTP/1.1\r\nHost: here\n\r\n"},
      {400, "GET / HTTP/1.1\rHost: here\r\r"},
      {400, "GET / HTTP/1.1\r\n" + H + "X: a\r\n b\r\n\r\n"},  // a folded line
      {400, "GET / HTTP/1.1\r\n" + H + "X : a\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\n" + H + std::string("X: a\0b\r\n\r\n", 10)},
      {400, "GET / HTTP/1.1\r\n\r\n"},
      {400, "GET / HTTP/1.1\r\n" + H + H + "\r\n"},
      {400, "GET  / HTTP/1.1\r\n" + H + "\r\n"},
      {400, POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"},
      {400, POST + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"},
      {400, POST + "Content-Length: 5, 5\r\n\r\n"},
      {400, POST + "Content-Length: +5\r\n\r\n"},
      {400, POST + "Content-Length: -1\r\n\r\n"},
      {400, POST + "Content-Length: 0x5\r\n\r\n"},
      {400, POST + "Content-Length:\r\n\r\n"},
      {400, POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {501, POST + "Transfer-Encoding: xchunked\r\n\r\n"},
      {501, POST + "Transfer-Encoding: gzip, chunked\r\n\r\n"},
      {400, "POST /v1/edge/completions HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\n\r\n2\nab\n0\n\n"},
      {400, POST + "Transfer-Encoding: chunked\r\n\r\n-2\r\n"},
      {400, POST + "Transfer-Encoding: chunked\r\n\r\n00000000000000002\r\n"},
      {413, POST + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"},
      {413, POST + "Content-Length: 99999999999\r\n\r\n"},
      {413, POST + "Content-Length: 99999999999999999999999999\r\n\r\n"},
      {414, "GET /" + std::string(5000, 'a') + " HTTP/1.1\r\n" + H + "\r\n"},
      {431, "GET / HTTP/1.1\r\n" + H + "X: " + std::string(20000, 'a') + "\r\n\r\n"},
      {501, "CONNECT here:80 HTTP/1.1\r\n" + H + "\r\n"},
      {501, std::string(40, 'A') + " / HTTP/1.1\r\n" + H + "\r\n"},
      {417, POST + "Expect: more\r\nContent-Length: 5\r\n\r\n"},
      {404, "GET /../../etc/passwd HTTP/1.1\r\n" + H + "\r\n"},
      {404, "GET /v1/edge/completions%00 HTTP/1.1\r\n" + H + "\r\n"},
      {405, "DELETE /v1/edge/completions HTTP/1.1\r\n" + H + "\r\n"},
  };
}

// The bodies of requests that are well formed; the connection goes on.
const std::vector<std::string>& wrong_bodies() {
  static const std::vector<std::string> bodies = {
      "x",
      "[]",
      "{",
      "{\"prompt\":\"a\"}{",
      R"({"prompt":1})",
      R"({"prompt":"a","prompt":"b"})",
      R"({"prompt":"\ud800"})",
      "{\"prompt\":\"\xff\"}",
      "{\"prompt\":\"\xc0\x80\"}",
      "{\"prompt\":\"a\nb\"}",
      R"({"prompt":"a","max_tokens":-1})",
      R"({"prompt":"a","max_tokens":1e-2})",
      R"({"prompt":"a","max_tokens":99999999999999999999})",
      R"({"prompt":"a","max_tokens":"5"})",
      std::string(100000, '['),
      R"({"a":)" + std::string(70, '[') + std::string(70, ']') + "}",
      R"({"prompt":")" + std::string(100000, 'a') + "\"}",  // more than the context holds
  };
  return bodies;
}

}  // namespace

TEST(wrong_requests) {
  ServerProcess server(MODEL);
  for (const Wrong& row : wrong_requests()) {
    Caller caller(server.port());
    caller.send(row.bytes + completion(2));
    const std::string got = caller.rest();
    if (status_of(got) != row.status || answers_in(got) != 1)
      check::failed(__FILE__, __LINE__,
                    "\"" + row.bytes.substr(0, 100) + "\" was answered with \"" + got.substr(0, 300) + "\"");
    CHECK(contains(got, "Connection: close\r\n"));
  }
  Caller caller(server.port());
  for (const std::string& body : wrong_bodies()) {
    CHECK(caller.send(request("POST /v1/edge/completions", body)));
    const std::string got = caller.answer();
    if (status_of(got) != 400 || !contains(got, "\r\n\r\n{\"error\":"))
      check::failed(__FILE__, __LINE__, "\"" + body.substr(0, 100) + "\" was answered with \"" + got.substr(0, 300) + "\"");
  }
  check_all_places(server.port());
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}

// Answers come in the order of the requests, however these are cut.
TEST(pipelined) {
  ServerProcess server(MODEL);
  std::string bytes;
  std::vector<int> tokens;
  for (int i = 0; i < 40; i++) {
    tokens.push_back(1 + (i * 7) % 12);
    bytes += completion(tokens.back());
  }
  for (size_t piece : {bytes.size(), size_t{333}}) {
    Caller caller(server.port());
    for (size_t at = 0; at < bytes.size(); at += piece)
      CHECK(caller.send(bytes.substr(at, piece)));
    for (int wanted : tokens)
      CHECK(contains(caller.answer(), "\"tokens_generated\":" + std::to_string(wanted) + ","));
  }
  // Chunked, and one byte at a time.
  Caller caller(server.port());
  const std::string body = R"({"prompt":"Once","max_tokens":3})";
  std::string chunked = POST + "Transfer-Encoding: chunked\r\n\r\n";
  for (char c : body)
    chunked += std::string("1;x=y\r\n") + c + "\r\n";
  for (char c : chunked + "0\r\nTrailer: x\r\n\r\n")
    CHECK(caller.send(std::string(1, c)));
  CHECK(contains(caller.answer(), "\"tokens_generated\":3,"));
}

// Those who send slowly or take nothing keep nobody else from being answered.
TEST(slow) {
  ServerProcess server(MODEL);
  std::vector<Caller> slow;
  const std::string whole = completion(200);
  for (int i = 0; i < 200; i++) {
    slow.emplace_back(server.port());
    // A piece of a head; of each fourth all of it, and nothing is taken.
    CHECK(slow.back().send(i % 4 == 3 && i < 40 ? whole : whole.substr(0, 1 + static_cast<size_t>(i) % 60)));
  }
  for (int i = 0; i < 20; i++) {
    for (size_t at = 0; at < slow.size(); at += 2)
      slow[at].send("a");
    // Those that are not served yet fill the queue.
    CHECK(comes_true([&] { return status_of(asked(server.port(), completion(5))) == 200; }));
  }
  slow.clear();
  check_all_places(server.port());
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}

// Bodies that never come hold their places only until others want them.
TEST(slow_bodies) {
  ServerProcess server(MODEL);
  std::vector<Caller> slow;
  for (int i = 0; i < 60; i++) {
    slow.emplace_back(server.port());
    CHECK(slow.back().send(POST + "Content-Length: 1000\r\n\r\n{"));
  }
  CHECK(comes_true([&] { return status_of(asked(server.port(), completion(5))) == 200; }));
  slow.clear();
  CHECK(comes_true([&] { return status_of(asked(server.port(), completion(5))) == 200; }));
  check_all_places(server.port());
}

// One that sends no more while its answer is outstanding has gone away.
TEST(half_closed) {
  ServerProcess server(MODEL);
  for (int i = 0; i < 50; i++) {
    Caller caller(server.port());
    CHECK(caller.send(i % 3 == 0 ? completion(200) : i % 3 == 1 ? completion(200).substr(0, 70) : ""));
    caller.end_sending();
    CHECK_EQ(caller.rest(), "");
  }
  check_all_places(server.port());
}

// Broken off at any byte, before or within the answer, politely or with a reset.
TEST(aborted) {
  const char* wanted = std::getenv("EDGELLM_ABORTS");
  const int count = wanted ? std::atoi(wanted) : 400;
  ServerProcess server(MODEL);
  std::mt19937 random(1);
  const auto abort_some = [&](int requests) {
    for (int i = 0; i < requests; i++) {
      Caller caller(server.port());
      const std::string whole = completion(static_cast<int>(random() % 200) + 1);
      const bool all = random() % 2;
      if (!caller.send(all ? whole : whole.substr(0, random() % whole.size()))) continue;
      if (all && random() % 4 == 0) caller.answer();
      if (all && random() % 4 == 0) caller.send(whole.substr(0, random() % whole.size()));
      if (random() % 2) caller.reset();
    }
  };
  abort_some(100);
  check_all_places(server.port());
  const long before = server.own_memory();
  abort_some(count);
  check_all_places(server.port());
  const char* mode = std::getenv("EDGELLM_MODE");
  const bool native = !contains(std::getenv("EDGELLM"), " ") && (!mode || std::string(mode) == "release");
  if (before >= 0 && native)
    CHECK(server.own_memory() - before <= 64);  // an emulator and a sanitizer have memory of their own
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}
