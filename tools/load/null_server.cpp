#include "load/null_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace edgellm::load {
namespace {

constexpr const char* WORD = " word";

std::string chunk(const std::string& data) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return size + data + "\r\n";
}

std::string event(const std::string& json) {
  return chunk("data: " + json + "\n\n");
}

// As a server of ours would say it.
std::string answer_to(const std::string& body) {
  const size_t at = body.find("\"max_tokens\":");
  const int tokens = at == std::string::npos ? 16 : std::atoi(body.c_str() + at + 13);
  const std::string usage = "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":" + std::to_string(tokens) +
                            ",\"total_tokens\":" + std::to_string(tokens + 5) + "}";
  const std::string begin =
      "{\"id\":\"cmpl-0000000000000001\",\"object\":\"text_completion\",\"created\":1700000000,\"model\":\"nothing\","
      "\"choices\":[";
  if (body.find("\"stream\":true") == std::string::npos) {
    std::string text;
    for (int i = 0; i < tokens; i++)
      text += WORD;
    const std::string json =
        begin + "{\"index\":0,\"text\":\"" + text + "\",\"logprobs\":null,\"finish_reason\":\"length\"}]," + usage + "}";
    return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(json.size()) +
           "\r\n\r\n" + json;
  }
  std::string out = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < tokens; i++)
    out += event(begin + "{\"index\":0,\"text\":\"" + WORD + "\",\"logprobs\":null,\"finish_reason\":null}]}");
  return out + event(begin + "{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}") +
         event(begin + "]," + usage + "}") + event("[DONE]") + "0\r\n\r\n";
}

// Answers the requests that are whole; what is left of one stays.
std::string answers_to(std::string& in) {
  std::string out;
  for (;;) {
    const size_t head = in.find("\r\n\r\n");
    if (head == std::string::npos) return out;
    const size_t at = in.find("Content-Length: ");
    const size_t length = at < head ? static_cast<size_t>(std::atol(in.c_str() + at + 16)) : 0;
    if (in.size() < head + 4 + length) return out;
    out += answer_to(in.substr(head + 4, length));
    in.erase(0, head + 4 + length);
  }
}

struct Peer {
  std::string in, out;
};

// False: it has gone.
bool move(int fd, Peer& peer) {
  char buffer[65536];
  const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN)) return false;
  if (n > 0) peer.in.append(buffer, static_cast<size_t>(n));
  peer.out += answers_to(peer.in);
  const ssize_t sent = send(fd, peer.out.data(), peer.out.size(), 0);
  if (sent > 0) peer.out.erase(0, static_cast<size_t>(sent));
  return sent >= 0 || errno == EAGAIN;
}

}  // namespace

void serve_nothing(const Options& options) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(options.null_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener < 0 || bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, SOMAXCONN) != 0)
    throw std::runtime_error("--null: cannot listen on port " + std::to_string(options.null_port) + ": " +
                             std::strerror(errno));
  std::vector<pollfd> waits{{listener, POLLIN, 0}};
  std::vector<Peer> peers(1);
  for (;;) {
    poll(waits.data(), static_cast<nfds_t>(waits.size()), -1);
    for (size_t i = waits.size(); i-- > 1;) {
      if (waits[i].revents && !move(waits[i].fd, peers[i])) {
        close(waits[i].fd);
        waits.erase(waits.begin() + static_cast<std::ptrdiff_t>(i));
        peers.erase(peers.begin() + static_cast<std::ptrdiff_t>(i));
        continue;
      }
      waits[i].events = static_cast<short>(peers[i].out.empty() ? POLLIN : POLLIN | POLLOUT);
    }
    if (!waits[0].revents) continue;
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    waits.push_back({fd, POLLIN, 0});
    peers.emplace_back();
  }
}

}  // namespace edgellm::load
