// A server that loses its model file, or is ended without a word: those who wait hear of it, and it serves again.
#include <unistd.h>

#include <vector>

#include "files.h"
#include "server_process.h"

namespace {

const std::string COMPLETIONS = "POST /v1/edge/completions";

std::string prompt(int tokens) {
  return R"({"prompt":"Once upon a time","temperature":0,"max_tokens":)" + std::to_string(tokens) + "}";
}

std::string first_line(const std::string& answer) {
  return answer.substr(0, answer.find("\r\n"));
}

}  // namespace

// The file is cut under the map while texts are made: each of those who wait hears of it, and nothing is served from what is left.
TEST(truncated) {
  const Folder folder;
  const std::string model = folder / "model.tm2";
  write_file(model, read_file("models/stories.tm2"));
  ServerProcess server(model + " --threads 1 --slots 2 --queue 20");
  const std::string before = ask_port(server.port(), COMPLETIONS, prompt(40));
  CHECK_EQ(first_line(before), "HTTP/1.1 200 OK");
  std::vector<int> clients;
  for (int i = 0; i < 20; i++) {
    clients.push_back(connect_to_port(server.port()));
    send_all(clients.back(), http_request(COMPLETIONS, prompt(i == 0 ? 1 : 200)));
  }
  CHECK_EQ(first_line(receive_all(clients[0])), "HTTP/1.1 200 OK");
  CHECK_EQ(truncate(model.c_str(), 5000), 0);
  int whole = 0, lost = 0;
  for (size_t i = 1; i < clients.size(); i++) {
    const std::string answer = receive_all(clients[i]);
    whole += first_line(answer) == "HTTP/1.1 200 OK";
    lost += contains(answer, "the model file was cut short or its medium was removed while in use");
  }
  CHECK_EQ(whole + lost, 19);
  CHECK(lost > 0);
  for (int i = 0; i < 3; i++) {
    const std::string answer = ask_port(server.port(), COMPLETIONS, prompt(5));
    CHECK_EQ(first_line(answer), "HTTP/1.1 503 Service Unavailable");
    CHECK(contains(answer, "the model file was cut short or its medium was removed while in use"));
  }
  CHECK_EQ(first_line(ask_port(server.port(), "GET /healthz")), "HTTP/1.1 200 OK");
  CHECK_EQ(first_line(ask_port(server.port(), "GET /readyz")), "HTTP/1.1 503 Service Unavailable");
  CHECK(contains(ask_port(server.port(), "GET /v1/edge/health"), "\"status\":\"no_model\""));
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}

// The same port at once, whatever connections the old one had.
TEST(killed) {
  int port = 0;
  std::string text;
  for (int i = 0; i < 3; i++) {
    ServerProcess server("models/stories.tm2 --threads 1" + (port ? " --port " + std::to_string(port) : ""));
    port = server.port();
    const std::string answer = ask_port(port, COMPLETIONS, prompt(30));
    CHECK_EQ(first_line(answer), "HTTP/1.1 200 OK");
    const std::string body = answer.substr(answer.find("\r\n\r\n"));
    if (i > 0) CHECK_EQ(body, text);
    text = body;
    const int waiting = connect_to_port(port);
    send_all(waiting, http_request(COMPLETIONS, prompt(200)));
    server.send_signal(SIGKILL);
    CHECK_EQ(server.end(), -1 - SIGKILL);
    CHECK(!contains(receive_all(waiting), "\r\n\r\n"));
  }
}
