#include "load/generator.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#if !defined(MSG_NOSIGNAL)
#define MSG_NOSIGNAL 0
#endif

namespace edgellm::load {

constexpr double LAST_ANSWER = 120;  // seconds, behind the end of the load

double clock_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int connect_to(const Options& options) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(options.port));
  if (inet_pton(AF_INET, options.host.c_str(), &address.sin_addr) != 1) return -1;
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return -1;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// False: there is no server any more.
bool Generator::reopen(Client& client) {
  if (client.fd >= 0) {
    close(client.fd);
    report.reconnected++;
  }
  client.fd = connect_to(options_);
  if (client.fd >= 0) return true;
  if (!options_.ends)
    throw std::runtime_error("no connection to " + options_.host + " port " + std::to_string(options_.port) + ": " +
                             std::strerror(errno));
  gone_ = true;
  return false;
}

void Generator::open_all() {
  clients_.resize(static_cast<size_t>(options_.connections));
  for (size_t i = 0; i < clients_.size(); i++) {
    reopen(clients_[i]);
    idle_.push_back(i);
  }
}

void Generator::ask_alone() {
  clients_.resize(1);
  Client& client = clients_[0];
  reopen(client);
  for (Kind& kind : kinds_) {
    kind.known = false;
    client.kind = &kind;
    client.alone = true;
    begin(client, clock_seconds());
    while (client.kind) {
      pollfd wait{client.fd, static_cast<short>(client.sent < kind.alone.size() ? POLLIN | POLLOUT : POLLIN), 0};
      if (poll(&wait, 1, static_cast<int>(LAST_ANSWER * 1000)) <= 0)
        throw std::runtime_error("no answer to " + kind.name + " alone");
      move(client, clock_seconds());
    }
    if (!kind.known)
      throw std::runtime_error("alone, " + kind.name + ": " +
                               (report.failures.empty() ? "refused" : report.failures.begin()->first));
  }
  close(client.fd);
  clients_.clear();
  idle_.clear();
  busy_.clear();
  report = {};
}

void Generator::run() {
  open_all();
  begin_ = next_due_ = clock_seconds();
  const double end = begin_ + options_.seconds;
  double now = begin_;
  while (now < end + LAST_ANSWER) {
    start_due(now, end);
    keep_busy();
    const bool more = !gone_ && (options_.rate > 0 ? next_due_ < end : now < end);
    if (busy_.empty() && !more) break;
    wait(now, end);
    keep_busy();
    now = clock_seconds();
  }
  for (size_t at : busy_) {
    (void)at;
    report.fail("no answer " + std::to_string(static_cast<int>(LAST_ANSWER)) + " s behind the end of the load");
  }
  report.seconds = std::min(now, end) - begin_;
  report.waited = std::max(0.0, now - end);
}

void Generator::start_due(double now, double end) {
  while (!idle_.empty() && !gone_) {
    double due = now;
    if (options_.rate > 0) {
      if (next_due_ > now || next_due_ >= end) return;
      due = next_due_;
    } else if (now >= end || busy_.size() >= static_cast<size_t>(options_.in_flight)) {
      return;
    }
    const size_t at = idle_.front();
    idle_.pop_front();
    busy_.push_back(at);
    clients_[at].kind = &kinds_[next_kind_++ % kinds_.size()];
    report.offered++;
    if (options_.rate > 0) next_due_ = begin_ + static_cast<double>(report.offered) / options_.rate;
    begin(clients_[at], due);
    move(clients_[at], now);
  }
}

void Generator::begin(Client& client, double due) {
  client.sent = 0;
  client.due = due;
  client.first_byte = client.first_token = client.last_token = 0;
  client.answer = {};
  client.events = {};
  client.text.clear();
  client.finish.clear();
  client.wrong.clear();
  client.tokens_in = client.tokens_out = -1;
  client.done = false;
  client.between.clear();
}

// Those whose answer is complete wait for another request.
void Generator::keep_busy() {
  const auto over = [&](size_t at) {
    if (clients_[at].kind) return false;
    idle_.push_back(at);
    return true;
  };
  busy_.erase(std::remove_if(busy_.begin(), busy_.end(), over), busy_.end());
}

// Those under way are looked at each time, the others now and then: the server may have closed them.
void Generator::wait(double now, double end) {
  constexpr double LOOK = 0.1;
  const bool all = now - looked_ > LOOK;
  if (all) looked_ = now;
  std::vector<pollfd> waits;
  std::vector<size_t> which;
  const auto add = [&](size_t at, short events) {
    waits.push_back({clients_[at].fd, events, 0});
    which.push_back(at);
  };
  for (size_t at : busy_) {
    const Client& client = clients_[at];
    const std::string& bytes = client.kind->load;
    add(at, static_cast<short>(client.sent < bytes.size() ? POLLIN | POLLOUT : POLLIN));
  }
  if (all && !gone_) {
    for (size_t at : idle_)
      add(at, POLLIN);
  }
  double until = std::min(now + LOOK, std::max(now, end));
  if (options_.rate > 0 && next_due_ < end && !idle_.empty() && !gone_) until = std::min(until, next_due_);
  if (now >= end) until = now + LOOK;
  const int ready =
      poll(waits.data(), static_cast<nfds_t>(waits.size()), std::max(0, static_cast<int>((until - now) * 1000)));
  if (ready <= 0) return;
  now = clock_seconds();
  for (size_t i = 0; i < waits.size(); i++) {
    Client& client = clients_[which[i]];
    if (!waits[i].revents) continue;
    if (client.kind) {
      move(client, now);
    } else {
      reopen(client);  // it sent what nobody asked for, or has ended
    }
  }
}

void Generator::move(Client& client, double now) {
  const std::string& bytes = client.alone ? client.kind->alone : client.kind->load;
  while (client.sent < bytes.size()) {
    const ssize_t n = send(client.fd, bytes.data() + client.sent, bytes.size() - client.sent, MSG_NOSIGNAL);
    if (n < 0) break;
    client.sent += static_cast<size_t>(n);
  }
  char buffer[65536];
  for (;;) {
    const ssize_t n = recv(client.fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    if (n <= 0) {
      client.answer.ended();
      if (client.answer.whole()) return finish(client, now);
      return lost(client);
    }
    if (client.first_byte <= 0) client.first_byte = now;
    client.answer.feed({buffer, static_cast<size_t>(n)});
    if (client.answer.type == "text/event-stream") read_events(client, now);
    if (client.answer.whole() || !client.answer.wrong().empty()) return finish(client, now);
  }
}

void Generator::read_events(Client& client, double now) {
  Said said;
  for (std::string data, why; client.wrong.empty() && client.events.next(client.answer.body, &data);) {
    if (client.done) client.wrong = "an event behind [DONE]";
    if (data == "[DONE]") {
      client.done = true;
      continue;
    }
    if (!read_said(data, &said, &why)) client.wrong = "an event is no JSON: " + why;
    if (!said.error.empty()) client.wrong = "an event says: " + said.error;
    client.text += said.text;
    if (!said.finish.empty()) client.finish = said.finish;
    if (said.tokens_out >= 0) client.tokens_out = said.tokens_out, client.tokens_in = said.tokens_in;
    if (said.text.empty()) continue;
    if (client.first_token <= 0) {
      client.first_token = now;
    } else {
      client.between.push_back((now - client.last_token) * 1000);
    }
    client.last_token = now;
  }
  if (client.wrong.empty()) client.wrong = client.events.wrong;
}

// The connection ended within a request.
void Generator::lost(Client& client) {
  if (options_.ends && !client.answer.begun()) {
    report.unanswered++;
  } else {
    report.fail(client.answer.wrong());
  }
  client.kind = nullptr;
  reopen(client);
}

// An answer is whole, or none.
void Generator::finish(Client& client, double now) {
  const AnswerReader& answer = client.answer;
  const bool refused = answer.status == 429 || answer.status == 503;
  Said said;
  if (client.wrong.empty()) client.wrong = answer.wrong();
  if (client.wrong.empty() && answer.type == "text/event-stream") {
    if (!client.done) client.wrong = "a stream without [DONE]";
  } else if (client.wrong.empty() && answer.type == "application/json") {
    std::string why;
    if (!read_said(answer.body, &said, &why)) client.wrong = "the answer is no JSON: " + why;
    client.text = said.text;
    client.tokens_in = said.tokens_in, client.tokens_out = said.tokens_out;
  } else if (client.wrong.empty()) {
    client.wrong = "an answer of type \"" + answer.type + "\"";
  }
  if (client.wrong.empty() && refused) {
    const bool proper = !said.error.empty() && !answer.retry_after.empty();
    if (!proper)
      client.wrong = std::to_string(answer.status) + " without Retry-After or words: " + answer.body.substr(0, 200);
    if (proper) (answer.status == 429 ? report.busy : report.unavailable)++;
  } else if (client.wrong.empty() && answer.status != 200) {
    client.wrong = "status " + std::to_string(answer.status) + ": " + answer.body.substr(0, 200);
  }
  if (!client.wrong.empty()) {
    report.fail(client.wrong);
  } else if (!refused && right(client)) {
    count(client, now);
  }
  client.kind = nullptr;
  if (!client.wrong.empty() || !answer.keep) reopen(client);
}

// The text is the one that the request has alone.
bool Generator::right(Client& client) {
  Kind& kind = *client.kind;
  if (client.alone || (!kind.known && options_.alone)) {
    kind.text = client.text;
    kind.tokens_out = client.tokens_out;
    kind.known = true;
    return true;
  }
  if (!kind.known) return true;
  const bool same = kind.text == client.text && kind.tokens_out == client.tokens_out;
  if (!same)
    report.fail("another text than alone: " + kind.name + ": " + std::to_string(kind.tokens_out) + " tokens \"" +
                kind.text.substr(0, 300) + "\" became " + std::to_string(client.tokens_out) + " tokens \"" +
                client.text.substr(0, 300) + "\"");
  return same;
}

void Generator::count(Client& client, double now) {
  report.whole++;
  if (now < begin_ + options_.seconds) {
    report.tokens_in += std::max(0L, client.tokens_in);
    report.tokens_out += std::max(0L, client.tokens_out);
  }
  report.first_byte.add((client.first_byte - client.due) * 1000);
  report.answer.add((now - client.due) * 1000);
  if (client.first_token > 0) report.first_token.add((client.first_token - client.due) * 1000);
  for (double ms : client.between)
    report.between.add(ms);
}

}  // namespace edgellm::load
