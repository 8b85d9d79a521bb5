// The whole server in this process: models, slots and routes, and clients of it on socket pairs. Nothing happens but in rounds.
#pragma once
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "check.h"
#include "open_engine.h"
#include "platform/clock.h"
#include "platform/signals.h"
#include "platform/sockets.h"
#include "server/server.h"

struct Answer {
  int status = 0;  // 0: none came
  std::string head, body;

  // The value of a field of the head; empty: there is none.
  std::string field(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t from = at + name.size() + 4;
    return head.substr(from, head.find("\r\n", from) - from);
  }
};

class Serving {
 public:
  // Names of models and their files.
  using Models = std::vector<std::pair<std::string, std::string>>;

  explicit Serving(Models files, edgellm::ServeOptions options = small(), edgellm::EngineOptions engine = {})
      : names_(std::move(files)), models_(names_.size()) {
    for (size_t i = 0; i < names_.size(); i++) {
      engine.threads = 1;
      engine.sessions = options.slots;
      engine.text_bytes = options.connections.http.body;
      opened_.push_back(std::make_unique<OpenEngine>(engine, names_[i].second));
      models_[i].name = {names_[i].first.data(), static_cast<edgellm::i64>(names_[i].first.size())};
      models_[i].engine = opened_[i]->engine;
    }
    server.options = options;
    server.models = {models_.data(), static_cast<edgellm::i64>(models_.size())};
    edgellm::Arena size;
    server.place(size);
    CHECK(edgellm::take_memory(size.used(), {}, &block_).ok());
    edgellm::Arena arena(block_.data, block_.count);
    server.place(arena);
    CHECK_EQ(arena.used(), size.used());
    CHECK(edgellm::open_socket_set(&set_).ok());
    server.start(-1, set_);
  }
  Serving(const Serving&) = delete;
  ~Serving() {
    edgellm::close_socket(set_);
    edgellm::release_memory(block_);
  }

  static edgellm::ServeOptions small() {
    edgellm::ServeOptions options;
    options.node = "box";
    options.slots = 2;
    options.queue = 2;
    options.connections.connections = 8;
    options.connections.exchanges = 8;
    options.connections.http.body = 20000;
    return options;
  }

  // A client that sent this.
  int connect(const std::string& bytes) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    for (int end : ends)
      fcntl(end, F_SETFL, O_NONBLOCK);
    CHECK(server.connections.adopt(ends[1], edgellm::now_ns()));
    CHECK_EQ(::send(ends[0], bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
    return ends[0];
  }

  void rounds(int count) {
    for (int i = 0; i < count; i++)
      CHECK(server.round());
  }

  // A signal asks for the end: how many requests were not answered in time.
  int end() {
    edgellm::set_interrupted(true);
    const int left = server.run(-1, set_);
    edgellm::set_interrupted(false);
    return left;
  }

  // The answer to a client of `connect`, whose connection ends behind it.
  Answer wait(int client) {
    std::string bytes;
    char buffer[65536];
    for (ssize_t n = -1; n != 0;) {
      n = recv(client, buffer, sizeof buffer, 0);
      if (n > 0) bytes.append(buffer, static_cast<size_t>(n));
      if (n < 0) rounds(1);
    }
    ::close(client);
    Answer answer;
    const size_t end = bytes.find("\r\n\r\n");
    if (end == std::string::npos) return answer;
    answer.head = bytes.substr(0, end + 2);
    answer.body = bytes.substr(end + 4);
    answer.status = std::stoi(answer.head.substr(9, 3));
    return answer;
  }

  static std::string request(const std::string& line, const std::string& body, const std::string& fields = "") {
    return line + " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields +
           (body.empty() ? "" : "Content-Length: " + std::to_string(body.size()) + "\r\n") + "\r\n" + body;
  }

  // `line` is a method and a path.
  Answer ask(const std::string& line, const std::string& body = "", const std::string& fields = "") {
    return wait(connect(request(line, body, fields)));
  }

  edgellm::Server server;

 private:
  Models names_;
  std::vector<edgellm::ServedModel> models_;
  std::vector<std::unique_ptr<OpenEngine>> opened_;
  edgellm::Span<edgellm::u8> block_;
  int set_ = -1;
};
