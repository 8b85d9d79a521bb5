// curl as a client of the program: what it asks for and how it sends it, and the texts that `edgellm run` makes. Repeated requests take
// no memory.
#include "base/json_writer.h"
#include "program.h"
#include "server_process.h"

namespace {

const char* const MODEL = "models/stories.tm2";

bool have_curl() {
  static const bool have = shell("curl --version").code == 0;
  return have;
}

std::string in_json(const std::string& text) {
  std::string out;
  auto add = [](void* to, edgellm::Text piece) {
    static_cast<std::string*>(to)->append(piece.data, static_cast<size_t>(piece.size));
  };
  edgellm::JsonWriter(add, &out).text({}, {text.data(), static_cast<edgellm::i64>(text.size())});
  return out;
}

// What curl prints when it is called with these words, in which PORT is the server's.
std::string curl(const ServerProcess& server, std::string words) {
  for (size_t at; (at = words.find("PORT")) != std::string::npos;)
    words.replace(at, 4, std::to_string(server.port()));
  const Said said = shell("curl -sS " + words);
  CHECK_EQ(said.code, 0);
  CHECK_EQ(said.err, "");
  return said.out;
}

std::string count_of(const std::string& text, const std::string& before) {
  const size_t at = text.find(before);
  return at == std::string::npos ? ""
                                 : text.substr(at + before.size(), text.find(' ', at + before.size()) - at - before.size());
}

const std::string COMPLETIONS = "-X POST localhost:PORT/v1/edge/completions -H 'Content-Type: application/json' ";

}  // namespace

// The text of a seed is the one that `edgellm run` makes, with each way of sending it.
TEST(completions) {
  if (!have_curl()) SKIP("curl is not installed");
  ServerProcess server(std::string(MODEL) + " --node box");
  const std::string prompt = "The Cherokee AI Federation is";
  const Said run = edgellm_says(std::string(MODEL) + " \"" + prompt + "\" -n 50 -t 0.7 -s 5");
  CHECK_EQ(run.code, 0);
  const std::string text = run.out.substr(0, run.out.size() - 1);
  const std::string body = R"({"response":)" + in_json(text) +
                           R"(,"model":"stories","node":"box","device":"cpu","tokens_generated":)" +
                           count_of(run.err, "ms; ") + R"(,"mode":"sustained"})";
  const std::string data = "-d '{\"prompt\":\"" + prompt + "\",\"max_tokens\":50,\"seed\":5}'";
  CHECK_EQ(curl(server, COMPLETIONS + data), body);
  for (const char* how : {"--http1.0 ", "-H 'Transfer-Encoding: chunked' ", "-H 'Expect: 100-continue' ", "--no-keepalive "})
    CHECK_EQ(curl(server, how + COMPLETIONS + data), body);
  CHECK_EQ(curl(server, COMPLETIONS + data + " --next -sS " + COMPLETIONS + data + " -w ' %{num_connects}'"),
           body + body + " 0");  // on the same connection
  const std::string answer = curl(server, "-i " + COMPLETIONS + "-d '{\"prompt\":\"x\",\"max_tokens\":0}'");
  CHECK(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"));
  CHECK(contains(answer, R"({"error":"max_tokens: expected an integer from 1 to 2147483647, got 0"})"));
  const std::string head = curl(server, "-I localhost:PORT/v1/edge/health");
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"));
  CHECK(contains(curl(server, "localhost:PORT/generate " + data), R"({"text":)" + in_json(text) + R"(,"stats":{)"));
  server.send_signal(SIGTERM);
  CHECK_EQ(server.end(), 0);
}

TEST(memory_is_steady) {
  const bool native = !contains(std::getenv("EDGELLM"), " ") && std::string(std::getenv("EDGELLM_MODE")) == "release";
  ServerProcess server(MODEL);
  long before = -1;
  for (int i = 0; i < 60; i++) {
    if (i == 10) before = server.own_memory();
    const std::string answer = ask_port(server.port(), "POST /v1/edge/completions",
                                        R"({"prompt":"The Cherokee AI Federation is","max_tokens":50})");
    CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  }
  if (!native || before < 0) SKIP("an emulator or a sanitizer has memory of its own, or the system does not tell");
  CHECK(server.own_memory() - before <= 64);
}
