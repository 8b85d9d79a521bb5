// A model file that is cut while edgellm serve uses it: the server goes on, says so, and gives no text that may be wrong.
#include <algorithm>
#include <filesystem>

#include "server_process.h"

namespace {

const std::string LOST = "the model file was cut short or its medium was removed while in use";

std::string completion(const std::string& model, int tokens) {
  return R"({"prompt":"Once","seed":1,"model":")" + model + R"(","max_tokens":)" + std::to_string(tokens) + "}";
}

std::string ask(const ServerProcess& server, const std::string& model) {
  return ask_port(server.port(), "POST /v1/edge/completions", completion(model, 20));
}

std::string got(const ServerProcess& server, const std::string& path) {
  const std::string answer = ask_port(server.port(), "GET " + path);
  return std::to_string(status_of(answer)) + " " + body_of(answer);
}

}  // namespace

TEST(a_model_that_is_lost) {
  for (size_t left : {size_t{0}, size_t{4096}, size_t{1} << 20}) {
    Folder folder;
    const std::string lost = folder / "lost.tm2", words = " --threads 2 --max-tokens 2000";
    std::filesystem::copy_file("models/stories.tm2", lost);
    ServerProcess server("--model lost=" + lost + " --model kept=models/stories.tm2" + words);
    const std::string kept = body_of(ask(server, "kept"));
    CHECK_EQ(status_of(ask(server, "lost")), 200);
    CHECK(contains(got(server, "/readyz"), "200 ready"));

    const int waiting = connect_to_port(server.port());  // what is made meanwhile is never given as if it was right
    send_all(waiting, http_request("POST /v1/edge/completions", completion("lost", 400)));
    std::filesystem::resize_file(lost, left);
    const std::string answer = receive_all(waiting);
    CHECK(status_of(answer) == 200 || contains(answer, LOST));
    const std::string next = ask(server, "lost");
    CHECK(status_of(next) == 500 || status_of(next) == 503);
    CHECK(contains(next, LOST));
    CHECK_EQ(body_of(ask(server, "lost")), "{\"error\":\"Model not loaded: " + LOST + "\"}");
    CHECK(contains(got(server, "/v1/edge/health"), R"(200 {"status":"no_model","model_loaded":false)"));
    CHECK(contains(got(server, "/health"), R"(200 {"status":"initializing")"));
    CHECK_EQ(got(server, "/readyz"), "503 no model is loaded\n");
    const std::string models = got(server, "/v1/models");
    CHECK(contains(models, "\"kept\"") && !contains(models, "\"lost\""));
    CHECK_EQ(got(server, "/v1/models/lost").substr(0, 3), "404");
    CHECK_EQ(body_of(ask(server, "kept")), kept);
    CHECK_EQ(server.next_line(), "note: lost is served no more: " + LOST);
    server.send_signal(SIGTERM);
    CHECK_EQ(server.end(), 0);
    CHECK_EQ(server.next_line(), "");
  }
}
