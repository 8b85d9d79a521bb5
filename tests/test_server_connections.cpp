// Connections over socket pairs and the loopback: requests whole and in pieces, one behind the other, early and late answers, and
// clients that are slow, rude, or gone. Time is an argument, so nothing here waits for it.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "child.h"
#include "platform/seal.h"
#include "platform/sockets.h"
#include "server_and_client.h"

using namespace edgellm;

struct Row {
  std::string bytes, answer;
  bool ends;
};

static const std::string NOTHING = "there is nothing at this path; there are /echo, /echo, /later, /events, /large, /wrong";
static const std::string LONG_BODY =
    "the body is longer than this server takes: expected at most 5000 bytes, as --max-body-kb has it";

static std::vector<Row> rows() {
  const std::string events_head =
      "HTTP/1.1 200 OK\r\n" DATE "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\n";
  return {
      {"GET /echo?q HTTP/1.1\r\n" HOST "\r\n", plain("GET /echo q:"), false},
      {"GET /echo HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", plain("GET /echo :", "close"), true},
      {"GET /echo HTTP/1.0\r\n\r\n", plain("GET /echo :", "close"), true},
      {"GET /echo HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", plain("GET /echo :"), false},
      {"HEAD /echo HTTP/1.1\r\n" HOST "\r\n", plain("HEAD /echo :").substr(0, plain("HEAD /echo :").size() - 12), false},
      {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", plain("POST /echo :hello"), false},
      {"POST /echo HTTP/1.1\r\n" HOST "\r\n", plain("POST /echo :"), false},
      {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nt: u\r\n\r\n",
       plain("POST /echo :hello!"), false},
      {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5000\r\n\r\n" + std::string(5000, 'b'),
       plain("POST /echo :" + std::string(5000, 'b')), false},
      {"GET /events HTTP/1.1\r\n" HOST "\r\n",
       events_head + "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n3\r\n:\n\n\r\nb\r\ndata: one\n\n\r\n"
                     "17\r\ndata: two\ndata: lines\n\n\r\n0\r\n\r\n",
       false},
      {"HEAD /events HTTP/1.1\r\n" HOST "\r\n", events_head + "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n",
       false},
      {"GET /events HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
       events_head + "Connection: close\r\n\r\n:\n\ndata: one\n\ndata: two\ndata: lines\n\n", true},
      {"GET /wrong HTTP/1.1\r\n" HOST "\r\n",
       "HTTP/1.1 400 Bad Request\r\n" DATE
       "Content-Type: application/json\r\nContent-Length: 30\r\nConnection: keep-alive\r\n\r\n"
       "{\"error\":\"\\\"x\\\" is no number\"}",
       false},
      {"GET /nothing HTTP/1.1\r\n" HOST "\r\n", refusal("404 Not Found", NOTHING), true},
      {"GET /later HTTP/1.1\r\n" HOST "\r\n",
       refusal("405 Method Not Allowed", "this path is there for POST and no other method", "Allow: POST\r\n"), true},
      {"PUT /echo HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n",
       refusal("405 Method Not Allowed", "this path is there for GET, HEAD, POST and no other method",
               "Allow: GET, HEAD, POST\r\n"),
       true},
      {"\x16\x03\x01\x02", refusal("400 Bad Request", "a request begins with a method and one space"), true},
      {"GET / HTTP/3.0\r\n",
       refusal("505 HTTP Version Not Supported", "HTTP/1.0 and HTTP/1.1 are served, and no other version"), true},
      {"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 5001\r\n", refusal("413 Content Too Large", LONG_BODY), true},
      {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1389\r\n",
       refusal("413 Content Too Large", LONG_BODY), true},
      {"POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello!",
       refusal("400 Bad Request", "CR LF is expected behind a chunk of the size that was said"), true},
      {"GET /echo HTTP/1.1\r\n" HOST "x: " + std::string(2048, 'v'),
       refusal("431 Request Header Fields Too Large",
               "the head of the request is longer than this server takes: expected at most 2048 bytes and 16 fields, and in "
               "chunks 4096 bytes"),
       true},
  };
}

TEST(requests_whole_and_in_pieces) {
  Server server;
  for (const Row& row : rows()) {
    std::vector<size_t> pieces = {row.bytes.size(), 1, 7};
    if (row.bytes.size() > 1000) pieces = {row.bytes.size(), 977};
    for (size_t piece : pieces) {
      Client client(server);
      std::string answer;
      for (size_t at = 0; at < row.bytes.size() && !client.ended(); at += piece)
        answer += client.ask(row.bytes.substr(at, piece));
      CHECK_EQ(answer, row.answer);
      CHECK_EQ(client.ended(), row.ends);
      CHECK_EQ(server.connections.busy(), 0);
      client.hang_up();
      server.rounds();
      CHECK_EQ(server.connections.open(), 0);
    }
  }
}

// All that keep the connection, in one piece and in pieces of every size up to 100.
TEST(one_behind_the_other) {
  std::string all, answers;
  for (const Row& row : rows()) {
    if (row.ends) continue;
    all += row.bytes;
    answers += row.answer;
  }
  all += "GET /echo HTTP/1.0\r\n\r\nGET /echo HTTP/1.0\r\n\r\n";  // the last is not read any more
  answers += plain("GET /echo :", "close");
  Server server;
  for (size_t piece = 1; piece <= 101; piece += 4) {
    Client client(server);
    std::string got;
    const size_t size = piece == 101 ? all.size() : piece;
    for (size_t at = 0; at < all.size(); at += size) {
      client.send(all.substr(at, size));
      server.rounds(2);
      got += client.receive();
    }
    server.rounds();
    got += client.receive();
    CHECK(got == answers);
    CHECK(client.ended());
  }
  server.rounds();
  CHECK_EQ(server.connections.open(), 0);
}

TEST(expect_continue) {
  const std::string head = "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n";
  Server server;
  Client client(server);
  CHECK_EQ(client.ask(head + "Content-Length: 5\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK_EQ(client.ask("hello"), plain("POST /echo :hello"));
  CHECK_EQ(client.ask(head + "Transfer-Encoding: chunked\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK_EQ(client.ask("1\r\nx\r\n0\r\n\r\n"), plain("POST /echo :x"));
  CHECK_EQ(client.ask(head + "Content-Length: 5\r\n\r\nhello"), plain("POST /echo :hello"));  // it did not wait
  CHECK_EQ(client.ask(head + "Content-Length: 5001\r\n\r\n"), refusal("413 Content Too Large", LONG_BODY));
  Client other(server);
  CHECK_EQ(other.ask("POST /none HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"),
           refusal("404 Not Found", NOTHING));
}

static const std::string LATER = "POST /later HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok";

TEST(answers_that_come_later) {
  Server server;
  Client client(server);
  CHECK_EQ(client.ask(LATER + "GET /echo HTTP/1.1\r\n" HOST "\r\n"), "");
  CHECK_EQ(server.context.waiting.size(), size_t{1});
  CHECK_EQ(server.connections.busy(), 1);
  const ConnectionId id = server.context.waiting[0];
  server.now += 1000 * SECOND_NS;  // an answer takes as long as it takes
  server.rounds();
  Connection* c = server.connections.find(id);
  CHECK(c && string_of({c->body().data, c->body().count}) == "ok");
  CHECK(!server.connections.find({id.index, id.generation + 1}));
  CHECK(!server.connections.find({id.index + 1, 0}) && !server.connections.find({-1, 0}) &&
        !server.connections.find({8, 0}));
  if (!c) return;
  CHECK(server.connections.begin_events(*c));
  server.rounds();
  CHECK(client.receive().find("text/event-stream") != std::string::npos);
  CHECK(server.connections.event(*c, "x"));
  server.rounds();
  CHECK_EQ(client.receive(), "9\r\ndata: x\n\n\r\n");
  CHECK_EQ(server.context.handled, 0);  // the next request waits
  CHECK(server.connections.end_events(*c));
  CHECK(!server.connections.find(id));
  server.rounds();
  CHECK_EQ(client.receive(), "0\r\n\r\n" + plain("GET /echo :"));
  CHECK_EQ(server.connections.busy(), 0);
}

// Closed, half closed, or full of requests that nobody waits for: the exchange is free in the next round.
TEST(clients_that_go_away) {
  Server server;
  for (int how = 0; how < 3; how++) {
    Client client(server);
    CHECK_EQ(client.ask(LATER), "");
    const ConnectionId id = server.context.waiting.back();
    CHECK(server.connections.find(id) != nullptr);
    if (how == 2) {
      for (int i = 0; i < 10; i++) {
        client.send(std::string(1000, 'x'));
        server.rounds(1);
      }
    }
    how == 1 ? client.end() : client.hang_up();
    server.rounds(1);
    if (how == 2) {  // the system says that it broke when something is sent
      Connection* c = server.connections.find(id);
      if (c && server.connections.begin_events(*c)) server.rounds(2);
    }
    CHECK(!server.connections.find(id));
    CHECK_EQ(server.connections.busy(), 0);
    CHECK_EQ(server.connections.open(), 0);
  }
  // One that ends its side behind the last request still gets the answer that is ready at once.
  Client client(server);
  client.send("GET /large HTTP/1.1\r\n" HOST "\r\n");
  client.end();
  std::string got;
  for (int i = 0; i < 100 && !client.ended(); i++) {
    server.rounds(1);
    got += client.receive();
  }
  CHECK_EQ(got.size(), plain(std::string(300000, 'x')).size());
}

TEST(slow_clients) {
  Server server;
  {  // a byte now and then
    Client client(server);
    const std::string bytes = "GET /echo HTTP/1.1\r\n" HOST "\r\n";
    std::string got;
    for (size_t i = 0; i < bytes.size() && !client.ended(); i++) {
      server.now += SECOND_NS;
      got += client.ask(bytes.substr(i, 1));
    }
    CHECK_EQ(got, refusal("408 Request Timeout", "the head of the request took too long"));
    CHECK(client.ended());
    server.now += 3 * SECOND_NS;  // and it does not close
    server.rounds();
    CHECK_EQ(server.connections.open(), 0);
  }
  {  // nothing at all
    Client client(server);
    server.now += 60 * SECOND_NS;
    server.rounds();
    CHECK_EQ(server.connections.open(), 1);
    server.now += LIMIT_PRECISION;
    server.rounds();
    CHECK_EQ(client.receive(), "");
    CHECK(client.ended());
    CHECK_EQ(server.connections.open(), 0);
  }
  {  // a head that comes in time after a long pause
    Client client(server);
    server.now += 59 * SECOND_NS;
    CHECK_EQ(client.ask("GET /echo HTTP/1.1\r\n"), "");
    server.now += 9 * SECOND_NS;
    CHECK_EQ(client.ask(HOST "\r\n"), plain("GET /echo :"));
  }
  {  // a body
    Client client(server);
    CHECK_EQ(client.ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 100\r\n\r\n"), "");
    std::string got;
    for (int i = 0; i < 100 && !client.ended(); i++) {
      server.now += SECOND_NS;
      got += client.ask("x");
    }
    CHECK_EQ(got, refusal("408 Request Timeout", "the body of the request took too long"));
    CHECK_EQ(server.connections.busy(), 0);
  }
}

TEST(slow_readers) {
  Server server;
  const std::string large = plain(std::string(300000, 'x'));
  {
    Client client(server, 4096);
    client.send("GET /large HTTP/1.1\r\n" HOST "\r\n");
    std::string got;
    for (int i = 0; i < 2000 && got.size() < large.size(); i++) {
      server.now += 20 * SECOND_NS;
      server.rounds(1);
      got += client.receive(20000);
    }
    CHECK(got == large);
    CHECK_EQ(client.ask("GET /echo HTTP/1.1\r\n" HOST "\r\n"), plain("GET /echo :"));
  }
  {  // takes nothing
    Client client(server, 4096);
    client.send("GET /large HTTP/1.1\r\n" HOST "\r\n");
    server.rounds();
    CHECK_EQ(server.connections.busy(), 1);
    server.now += 30 * SECOND_NS;
    server.rounds();
    CHECK_EQ(server.connections.busy(), 1);
    server.now += LIMIT_PRECISION;
    server.rounds();
    CHECK_EQ(server.connections.busy(), 0);
    CHECK(client.receive().size() < large.size());
    CHECK(client.ended());
  }
  {  // events that nobody takes fill the room for the longest answer, no more
    Client client(server, 4096);
    CHECK_EQ(client.ask(LATER), "");
    Connection* c = server.connections.find(server.context.waiting.back());
    bool goes_on = c && server.connections.begin_events(*c);
    i64 sent = 0;
    const std::string data(1000, 'd');
    for (; goes_on && sent < 1000; sent++) {
      goes_on = server.connections.event(*c, {data.data(), 1000});
      if (goes_on) server.rounds(1);
    }
    CHECK(!goes_on && sent > 390 && sent < 700);
    CHECK_EQ(server.connections.busy(), 0);
    CHECK_EQ(server.connections.open(), 0);
  }
  {  // one that takes them all the time gets any number
    Client client(server, 4096);
    CHECK_EQ(client.ask(LATER), "");
    Connection* c = server.connections.find(server.context.waiting.back());
    std::string got;
    CHECK(c && server.connections.begin_events(*c));
    for (int i = 0; c && i < 3000; i++) {
      const std::string data = std::to_string(i) + std::string(500, 'd');
      CHECK(server.connections.event(*c, {data.data(), static_cast<i64>(data.size())}));
      server.rounds(1);
      got += client.receive();
    }
    CHECK(c && server.connections.end_events(*c));
    server.rounds();
    got += client.receive();
    size_t at = 0, found = 0;
    for (; (at = got.find("data: " + std::to_string(found) + "d", at)) != std::string::npos; at++)
      found++;
    CHECK_EQ(found, size_t{3000});
    CHECK(got.size() > 5 && got.substr(got.size() - 5) == "0\r\n\r\n");
  }
}

// Requests with a body leave some places to those without.
TEST(places_for_health) {
  Server server;
  std::vector<Client> clients;
  const std::string head = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n",
                    get = "GET /echo HTTP/1.1\r\n" HOST "\r\n";
  const std::string chunked = "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 3; i++) {
    clients.emplace_back(server);
    CHECK_EQ(clients.back().ask(head), "");
  }
  const std::string full =
      refusal("503 Service Unavailable", "all places for requests are taken: try again", "Retry-After: 1\r\n");
  for (const std::string& bytes : {head, chunked}) {
    Client client(server);
    CHECK_EQ(client.ask(bytes), full);
  }
  for (int i = 0; i < 3; i++) {
    Client client(server);
    CHECK_EQ(client.ask(get), plain("GET /echo :"));
    CHECK_EQ(client.ask(LATER), full);
  }
  CHECK_EQ(server.connections.busy(), 3);
  CHECK_EQ(clients[1].ask("ok"), plain("POST /echo :ok"));
}

// A body that has come for long gives its place to a request that finds none. One whose request is being answered does not.
TEST(slow_bodies_make_room) {
  Server server;
  Client answered(server), slow(server), slower(server);
  CHECK_EQ(answered.ask(LATER), "");
  CHECK_EQ(slower.ask("POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n"), "");
  server.now += SECOND_NS;
  CHECK_EQ(slow.ask("POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nx"), "");
  server.now += SECOND_NS;
  const std::string post = "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nok";
  const std::string full =
      refusal("503 Service Unavailable", "all places for requests are taken: try again", "Retry-After: 1\r\n");
  const std::string gone =
      refusal("408 Request Timeout", "the body of the request took too long, and others wait for its place");
  {
    Client client(server);
    CHECK_EQ(client.ask(post), full);  // two seconds are not too long
  }
  server.now += LIMIT_PRECISION;
  Client next(server);
  CHECK_EQ(next.ask(post), plain("POST /echo :ok"));
  CHECK_EQ(slower.receive(), gone);
  CHECK(slower.ended());
  CHECK_EQ(slow.receive(), "");
  CHECK_EQ(next.ask(LATER), "");  // takes the place for good
  Client other(server);
  CHECK_EQ(other.ask(post), full);
  server.now += SECOND_NS;
  Client last(server);
  CHECK_EQ(last.ask(post), plain("POST /echo :ok"));
  CHECK_EQ(slow.receive(), gone);
  CHECK_EQ(server.connections.busy(), 2);
  CHECK(server.connections.find(server.context.waiting[0]) != nullptr);
}

TEST(places_for_requests) {
  Server server;
  std::vector<Client> clients;
  for (int i = 0; i < 4; i++)
    clients.emplace_back(server);
  for (int i = 0; i < 3; i++)
    CHECK_EQ(clients[static_cast<size_t>(i)].ask(LATER), "");
  CHECK_EQ(server.connections.busy(), 3);
  CHECK_EQ(clients[3].ask(LATER),
           refusal("503 Service Unavailable", "all places for requests are taken: try again", "Retry-After: 1\r\n"));
  Connection* c = server.connections.find(server.context.waiting[1]);
  if (c) server.connections.answer(*c, {.type = "text/plain"}, "done");
  server.rounds();
  CHECK_EQ(clients[1].receive(), plain("done"));
  Client again(server);
  CHECK_EQ(again.ask(LATER), "");
  CHECK_EQ(server.connections.busy(), 3);
}

TEST(draining) {
  Server server;
  Client idle(server), busy(server), half(server), flushed(server);
  CHECK_EQ(busy.ask(LATER + "GET /echo HTTP/1.1\r\n" HOST "\r\n"), "");
  CHECK_EQ(half.ask("GET /echo HTTP/1.1\r\n"), "");
  CHECK_EQ(flushed.ask("GET /echo HTTP/1.1\r\n" HOST "\r\n"), plain("GET /echo :"));
  Client sent(server);
  sent.send("GET /echo HTTP/1.1\r\n" HOST "\r\n");  // nobody looked yet
  server.connections.drain();
  server.rounds();
  CHECK_EQ(sent.receive(), plain("GET /echo :", "close"));
  CHECK_EQ(idle.receive() + flushed.receive(), "");
  CHECK(flushed.ended() && !idle.ended());
  server.now += 2 * SECOND_NS + 1;  // it may have sent what is not here yet; now it has not
  server.rounds();
  CHECK_EQ(idle.receive(), "");
  CHECK(idle.ended());
  CHECK_EQ(half.ask(HOST "\r\n"), plain("GET /echo :", "close"));
  CHECK(half.ended());
  Connection* c = server.connections.find(server.context.waiting[0]);
  if (c) server.connections.answer(*c, {.type = "text/plain"}, "done");
  server.rounds();
  CHECK_EQ(busy.receive(), plain("done", "close"));
  CHECK(busy.ended());
}

// Whatever comes, every connection ends, and nothing is left of it.
TEST(garbage) {
  Server server;
  std::mt19937 random(3);
  std::string valid;
  for (const Row& row : rows())
    valid += row.bytes.substr(0, 300);
  for (int i = 0; i < 3000; i++) {
    Client client(server);
    std::string bytes;
    if (i % 2) {
      for (u64 size = random() % 300; size > 0; size--)
        bytes += static_cast<char>(random());
    } else {
      bytes = valid.substr(random() % valid.size(), random() % 600);
      if (!bytes.empty()) bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = 1 + random() % 200;
      client.send(bytes.substr(at, size));
      server.rounds(1);
      (void)client.receive();
      if (client.ended()) break;
      at += size;
    }
  }
  server.rounds();
  CHECK_EQ(server.connections.open(), 0);
  CHECK_EQ(server.connections.busy(), 0);
}

TEST(ten_thousand_aborted_requests) {
  Server server;
  for (size_t i = 0; i < 10000; i++) {
    Client client(server);
    client.send(LATER.substr(0, 1 + i % LATER.size()));
    if (i % 3) server.rounds(1);
  }
  server.rounds();
  CHECK_EQ(server.connections.open(), 0);
  CHECK_EQ(server.connections.busy(), 0);
  bool found = false;
  for (const ConnectionId& id : server.context.waiting)
    found |= server.connections.find(id) != nullptr;
  CHECK(!found && server.context.waiting.size() > 10);
}

// --- Over the loopback ---------------------------------------------------------------------------------------------------

static sockaddr_in loopback_address(i32 port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<u16>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static int connect_to(i32 port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback_address(port);
  CHECK_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

// Rounds until there is something to read, or the end; 20 seconds are enough everywhere.
static std::string ask(Server& server, int fd, const std::string& bytes) {
  if (!bytes.empty()) CHECK_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  for (int i = 0; i < 2000; i++) {
    server.connections.round(server.now, 784111777, 5);
    pollfd wait{fd, POLLIN, 0};
    if (poll(&wait, 1, 5) != 1) continue;
    char buffer[4096];
    const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
    return n > 0 ? std::string(buffer, static_cast<size_t>(n)) : "end";
  }
  return "nothing came";
}

TEST(loopback) {
  i32 port = 0, listener = -1;
  const Status status = listen_on("127.0.0.1", &port, &listener);
  CHECK_EQ(std::string(status.text()), "");
  CHECK(port > 0);
  Server server(Server::small(), listener);
  const std::string get = "GET /echo HTTP/1.1\r\n" HOST "\r\n";
  std::vector<int> clients;
  for (int i = 0; i < 8; i++) {
    clients.push_back(connect_to(port));
    server.now += SECOND_NS;
    CHECK_EQ(ask(server, clients.back(), get), plain("GET /echo :"));
  }
  CHECK_EQ(server.connections.open(), 8);
  CHECK_EQ(ask(server, clients[0], get), plain("GET /echo :"));
  // A ninth takes the place of the one that has been idle longest.
  clients.push_back(connect_to(port));
  CHECK_EQ(ask(server, clients.back(), get), plain("GET /echo :"));
  CHECK_EQ(ask(server, clients[1], ""), "end");
  CHECK_EQ(ask(server, clients[0], get), plain("GET /echo :"));
  CHECK_EQ(server.connections.open(), 8);
  // None is idle: a tenth waits until one is.
  for (int fd : clients) {
    if (fd != clients[1]) CHECK_EQ(send(fd, "G", 1, MSG_NOSIGNAL), 1);
  }
  for (int i = 0; i < 20; i++)
    server.connections.round(server.now, 784111777, 1);
  const int tenth = connect_to(port);
  CHECK_EQ(send(tenth, get.data(), get.size(), MSG_NOSIGNAL), static_cast<ssize_t>(get.size()));
  for (int i = 0; i < 20; i++)
    server.connections.round(server.now, 784111777, 1);
  CHECK_EQ(server.connections.open(), 8);
  CHECK_EQ(ask(server, clients[3], get.substr(1)), plain("GET /echo :"));
  CHECK_EQ(ask(server, tenth, ""), plain("GET /echo :"));
  // Resets, in the middle of an answer too, do not end the program.
  for (int i = 0; i < 50; i++) {
    const int fd = connect_to(port);
    const linger hard{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    const std::string bytes = i % 2 ? "GET /large HTTP/1.1\r\n" HOST "\r\n" : LATER;
    CHECK_EQ(send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    if (i % 3) server.connections.round(server.now, 784111777, 1);
    close(fd);
    server.connections.round(server.now, 784111777, 1);
  }
  for (int fd : clients)
    close(fd);
  close(tenth);
  for (int i = 0; i < 2000 && server.connections.open() > 0; i++)
    server.connections.round(server.now, 784111777, 5);
  CHECK_EQ(server.connections.open(), 0);
  CHECK_EQ(server.connections.busy(), 0);
  close(listener);
}

// What the system has taken is served, and what comes afterwards is told that nobody is there.
TEST(draining_takes_what_waits) {
  i32 port = 0, listener = -1;
  CHECK(listen_on("127.0.0.1", &port, &listener).ok());
  Server server(Server::small(), listener);
  const int waiting = connect_to(port);
  server.connections.drain();
  CHECK_EQ(server.connections.open(), 1);
  CHECK_EQ(ask(server, waiting, "GET /echo HTTP/1.1\r\n" HOST "\r\n"), plain("GET /echo :", "close"));
  CHECK_EQ(ask(server, waiting, ""), "end");
  close(waiting);
  const int late = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = loopback_address(port);
  CHECK_EQ(connect(late, reinterpret_cast<const sockaddr*>(&address), sizeof address), -1);
  CHECK_EQ(errno, ECONNREFUSED);
  close(late);
}

// A new connection keeps its place for its first request, but not for ever.
TEST(silent_connections) {
  i32 port = 0, listener = -1;
  CHECK(listen_on("127.0.0.1", &port, &listener).ok());
  ConnectionLimits limits = Server::small();
  limits.connections = 2;
  Server server(limits, listener);
  const std::string get = "GET /echo HTTP/1.1\r\n" HOST "\r\n";
  const int silent = connect_to(port), late = connect_to(port), third = connect_to(port);
  for (int i = 0; i < 2000 && server.connections.open() < 2; i++)
    server.connections.round(server.now, 784111777, 5);
  for (int i = 0; i < 5; i++)
    server.connections.round(server.now, 784111777, 1);
  server.now += SECOND_NS;
  CHECK_EQ(send(late, "GET", 3, MSG_NOSIGNAL), 3);
  for (int i = 0; i < 20; i++)
    server.connections.round(server.now, 784111777, 1);
  CHECK_EQ(server.connections.open(), 2);
  CHECK_EQ(send(third, get.data(), get.size(), MSG_NOSIGNAL), static_cast<ssize_t>(get.size()));
  server.now += SECOND_NS + 1;
  CHECK_EQ(ask(server, third, ""), plain("GET /echo :"));
  CHECK_EQ(ask(server, silent, ""), "end");
  CHECK_EQ(ask(server, late, get.substr(3)), plain("GET /echo :"));
  for (int fd : {silent, late, third, listener})
    close(fd);
}

// With every place taken they wait until one is free.
TEST(draining_when_all_are_taken) {
  i32 port = 0, listener = -1;
  CHECK(listen_on("127.0.0.1", &port, &listener).ok());
  ConnectionLimits limits = Server::small();
  limits.connections = 2;
  Server server(limits, listener);
  std::vector<int> clients;
  for (int i = 0; i < 5; i++) {
    clients.push_back(connect_to(port));
    CHECK_EQ(send(clients.back(), LATER.data(), LATER.size(), MSG_NOSIGNAL), static_cast<ssize_t>(LATER.size()));
  }
  for (int i = 0; i < 2000 && server.context.waiting.size() < 2; i++)
    server.connections.round(server.now, 784111777, 5);
  server.connections.drain();
  for (size_t i = 0; i < 5; i++) {
    CHECK(!server.connections.drained());
    for (int k = 0; k < 2000 && server.context.waiting.size() <= i; k++)
      server.connections.round(server.now, 784111777, 5);
    Connection* c = server.context.waiting.size() > i ? server.connections.find(server.context.waiting[i]) : nullptr;
    CHECK(c != nullptr);
    if (c) server.connections.answer(*c, {.type = "text/plain"}, "done");
    CHECK_EQ(ask(server, clients[i], ""), plain("done", "close"));
    close(clients[i]);
  }
  for (int i = 0; i < 2000 && !server.connections.drained(); i++)
    server.connections.round(server.now, 784111777, 5);
  CHECK(server.connections.drained());
}

// All that a connection needs of the system is there behind the seal.
TEST(sealed) {
  const check::Child child = check::in_child([] {
    i32 port = 0, listener = -1;
    if (!listen_on("127.0.0.1", &port, &listener).ok()) return 1;
    Server server(Server::small(), listener);
    const int fd = connect_to(port);
    char line[256];
    Writer why(line);
    const Seal seal = seal_process(SEAL_SOCKETS, why);
    if (seal == Seal::unavailable) return 77;
    if (seal != Seal::sealed) return 2;
    if (ask(server, fd, "POST /echo HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n") !=
        "HTTP/1.1 100 Continue\r\n\r\n")
      return 3;
    if (ask(server, fd, "ok") != plain("POST /echo :ok")) return 4;
    if (ask(server, fd, "GET /echo HTTP/1.0\r\n\r\n") != plain("GET /echo :", "close")) return 5;
    if (ask(server, fd, "") != "end") return 6;
    close(fd);
    for (int i = 0; i < 2000 && server.connections.open() > 0; i++)
      server.connections.round(server.now, 784111777, 5);
    return server.connections.open();
  });
  if (child.exit_code == 77) SKIP("this system or build cannot be sealed");
  CHECK_EQ(child.exit_code, 0);
}

TEST(listening) {
  i32 port = 0, listener = -1, other = -1;
  CHECK_EQ(std::string(listen_on("localhost", &port, &listener).text()),
           "\"localhost\" is no address: expected one such as 127.0.0.1, 0.0.0.0 or ::1");
  CHECK(listen_on("127.0.0.1", &port, &listener).ok());
  const std::string said = listen_on("127.0.0.1", &port, &other).text();
  CHECK_EQ(said, "cannot listen on 127.0.0.1 port " + std::to_string(port) + ": " + std::strerror(EADDRINUSE) +
                     "; another program listens there: --port takes another port, --port 0 any that is free");
  for (const char* inside : {"127.0.0.1", "127.3.2.1", "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1"})
    CHECK(within_machine(inside));
  for (const char* outside :
       {"0.0.0.0", "::", "128.0.0.1", "10.0.0.127", "::2", "::ffff:10.0.0.1", "::127.0.0.1", "localhost"})
    CHECK(!within_machine(outside));
  char buffer[48];
  Writer peer(buffer);
  CHECK_EQ(accept_connection(listener, peer), i64{SOCKET_WAIT});
  CHECK_EQ(peer.text().size, i64{0});
  close(listener);
  CHECK(allow_descriptors(10).ok());
  CHECK(!allow_descriptors(i64{1} << 40).ok());
}
