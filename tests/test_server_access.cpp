// Who may ask, what a page of another origin is told, how errors look on which path, and what is reported of a request.
#include "server/access.h"

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "platform/sockets.h"
#include "server_and_client.h"

using namespace edgellm;

static Text text_of(const std::string& text) {
  return {text.data(), static_cast<i64>(text.size())};
}

// --- Keys ----------------------------------------------------------------------------------------------------------------

TEST(files_of_keys) {
  const std::string longest(API_KEY_BYTES, 'k');
  const struct {
    std::string text, keys, error;
  } rows[] = {
      {"secret", "secret|", ""},
      {"secret\n", "secret|", ""},
      {"\n# of the kitchen\n  one \r\n\t\n#two\nthree#3\n", "one|three#3|", ""},
      {longest + "\n", longest + "|", ""},
      {"a\nb\nc\n", "a|b|c|", ""},
      {"a\nb\nc\nd", "", "keys.txt line 4: more than 3 keys"},
      {"", "", "keys.txt: no key in it; one in each line is expected"},
      {"\n \r\n# none\n", "", "keys.txt: no key in it; one in each line is expected"},
      {"ok\ntwo words\n", "", "keys.txt line 2: a key is visible ASCII characters without a space between them"},
      {"k\xc3\xa4se", "", "keys.txt line 1: a key is visible ASCII characters without a space between them"},
      {std::string("a\0b", 3), "", "keys.txt line 1: a key is visible ASCII characters without a space between them"},
      {"x\n" + longest + "k", "", "keys.txt line 2: a key of 129 characters; at most 128"},
  };
  for (const auto& row : rows) {
    ApiKey room[3];
    i64 count = 0;
    const Status status = read_api_keys(text_of(row.text), "keys.txt", {room, 3}, &count);
    CHECK_EQ(std::string(status.text()), row.error);
    std::string keys;
    for (i64 i = 0; status.ok() && i < count; i++)
      keys += std::string(room[i].bytes, static_cast<size_t>(room[i].size)) + "|";
    CHECK_EQ(keys, row.keys);
    CHECK(status.ok() || status.code() == Code::usage);
  }
}

static void health(void*, Connections& connections, Connection& c) {
  connections.answer(c, {.type = "text/plain"}, "well");
}

static const Route GUARDED[] = {{"GET", "/healthz", health, true}, {"GET", "/echo", echo},
                                {"POST", "/v1/completions", echo}, {"POST", "/v1/edge/completions", echo},
                                {"GET", "/events", events},        {"POST", "/later", later}};

static const std::string MISSING = "an API key of this server is expected, as Authorization: Bearer KEY or X-Api-Key: KEY";
static const std::string NO_KEY = refusal("401 Unauthorized", MISSING, "WWW-Authenticate: Bearer\r\n");
static const std::string WRONG_KEY = refusal(
    "401 Unauthorized",
    "this key is none of the server's, which its --api-key-file has; expected Authorization: Bearer KEY or X-Api-Key: KEY",
    "WWW-Authenticate: Bearer\r\n");

struct Guarded : Server {
  explicit Guarded(const std::string& keys, Span<const Text> origins = {}) : Server(small(), -1, {GUARDED, 6}) {
    i64 count = 0;
    if (!keys.empty()) CHECK(read_api_keys(text_of(keys), "keys", {room, 3}, &count).ok());
    connections.restrict_to({{room, count}, origins});
  }
  ApiKey room[3];
};

TEST(keys) {
  const std::string longest(API_KEY_BYTES, 'k');
  Guarded server("secret\n" + longest + "\nK2\n");
  const std::string echoed = plain("GET /echo :");
  const struct {
    std::string fields, answer;
  } rows[] = {
      {"", NO_KEY},
      {"Authorization: Bearer secret\r\n", echoed},
      {"authorization: bearer  secret \r\n", echoed},
      {"X-Api-Key: secret\r\n", echoed},
      {"x-api-key: K2\r\n", echoed},
      {"X-Api-Key: " + longest + "\r\n", echoed},
      {"X-Api-Key: " + longest + "k\r\n", WRONG_KEY},
      {"X-Api-Key: " + longest.substr(1) + "\r\n", WRONG_KEY},
      {"X-Api-Key: " + std::string(1500, 'k') + "\r\n", WRONG_KEY},
      {"X-Api-Key: secre\r\n", WRONG_KEY},
      {"X-Api-Key: secrets\r\n", WRONG_KEY},
      {"X-Api-Key: Secret\r\n", WRONG_KEY},
      {"X-Api-Key: k2\r\n", WRONG_KEY},
      {"X-Api-Key:\r\n", WRONG_KEY},
      {"X-Api-Key: Bearer secret\r\n", WRONG_KEY},
      {"Authorization: secret\r\n", WRONG_KEY},
      {"Authorization: Basic secret\r\n", WRONG_KEY},
      {"Authorization: Bearer\r\n", WRONG_KEY},
      {"Authorization: Bearer secret K2\r\n", WRONG_KEY},
      {"Authorization: Basic abc\r\nX-Api-Key: secret\r\n", echoed},  // a proxy may want one of its own
      {"Authorization: Bearer secret\r\nX-Api-Key: wrong\r\n", echoed},
      {"Authorization: Bearer wrong\r\nAuthorization: Bearer secret\r\n", WRONG_KEY},
  };
  for (const auto& row : rows) {
    Client client(server);
    CHECK_EQ(client.ask("GET /echo HTTP/1.1\r\n" HOST + row.fields + "\r\n"), row.answer);
    CHECK_EQ(client.ended(), row.answer != echoed);
  }
  // Without keys nothing is asked for.
  Guarded open("");
  Client client(open);
  CHECK_EQ(client.ask("GET /echo HTTP/1.1\r\n" HOST "\r\n"), echoed);
}

// What is open, and what is not even told that it is not there.
TEST(keys_and_paths) {
  Guarded server("secret");
  const std::string openai = "{\"error\":{\"message\":\"" + MISSING +
                             "\",\"type\":\"authentication_error\",\"param\":null,\"code\":\"invalid_api_key\"}}";
  const std::string why = "{\"error\":\"" + MISSING + "\"}";
  const struct {
    std::string request, status, body;
  } rows[] = {
      {"GET /healthz", "200", "well"}, {"HEAD /healthz", "200", ""},  {"POST /healthz", "401", why},
      {"GET /nothing", "401", why},    {"OPTIONS /echo", "401", why},
  };
  for (const auto& row : rows) {
    Client client(server);
    const std::string answer = client.ask(row.request + " HTTP/1.1\r\n" HOST "\r\n");
    CHECK_EQ(answer.substr(9, 3), row.status);
    CHECK_EQ(answer.substr(answer.find("\r\n\r\n") + 4), row.body);
  }
  Client client(server);
  const std::string answer = client.ask("POST /v1/completions HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}");
  CHECK_EQ(answer.substr(answer.find("\r\n\r\n") + 4), openai);
}

// Refused on its head: no place is taken, nothing of the body is waited for, and what comes of it is dropped.
TEST(keys_before_bodies) {
  Guarded server("secret");
  std::vector<Client> clients;
  for (int i = 0; i < 3; i++) {
    clients.emplace_back(server);
    CHECK_EQ(clients.back().ask("POST /later HTTP/1.1\r\n" HOST "X-Api-Key: secret\r\nContent-Length: 2\r\n\r\nok"), "");
  }
  for (const std::string& head : {std::string("Content-Length: 5000\r\n"), std::string("Transfer-Encoding: chunked\r\n"),
                                  std::string("Expect: 100-continue\r\nContent-Length: 5000\r\n")}) {
    Client client(server);
    CHECK_EQ(client.ask("POST /later HTTP/1.1\r\n" HOST + head + "\r\n"), NO_KEY);
    CHECK(client.ended());
    CHECK_EQ(client.ask(std::string(5000, 'b')), "");  // it is taken and leads to nothing
    CHECK_EQ(server.connections.busy(), 3);
    client.end();
    server.rounds();
    CHECK_EQ(server.connections.open(), 3);
  }
  CHECK_EQ(server.context.waiting.size(), size_t{3});
}

// --- CORS ----------------------------------------------------------------------------------------------------------------

TEST(origins) {
  for (const char* good : {"*", "http://localhost:3000", "https://a.example", "http://[::1]:80", "chrome-extension://abc"})
    CHECK(is_origin(good));
  for (const char* bad : {"", "null", "localhost", "http://", "://a", "http://a/", "http://a/b", "http://A", "HTTP://a",
                          "http://a b", "http://a,http://b", "http://u@a", "http://a?x", "http://a\r\nb: c", "**"})
    CHECK(!is_origin(bad));
}

static std::string with_field(std::string answer, const std::string& field) {
  return answer.insert(answer.find("Content-Length"), field);
}

TEST(pages_of_other_origins) {
  static const Text both[] = {"http://a.example", "https://b.example:8443"}, any[] = {"*"};
  Guarded listed("secret", {both, 2}), every("", {any, 1}), none("");
  const std::string get = "GET /healthz HTTP/1.1\r\n" HOST, well = plain("well");
  const std::string to_b = "Access-Control-Allow-Origin: https://b.example:8443\r\nVary: Origin\r\n";
  const struct {
    Server* server;
    std::string request, answer;
  } rows[] = {
      {&none, get + "Origin: http://a.example\r\n\r\n", well},
      {&every, get + "Origin: http://c.example\r\n\r\n", with_field(well, "Access-Control-Allow-Origin: *\r\n")},
      {&every, get + "Origin: null\r\n\r\n", with_field(well, "Access-Control-Allow-Origin: *\r\n")},
      {&listed, get + "Origin: https://b.example:8443\r\n\r\n", with_field(well, to_b)},
      {&listed, get + "\r\n", with_field(well, "Vary: Origin\r\n")},
      {&listed, get + "Origin: https://b.example\r\n\r\n", with_field(well, "Vary: Origin\r\n")},
      {&listed, get + "Origin: https://b.example:8443.c.example\r\n\r\n", with_field(well, "Vary: Origin\r\n")},
      {&listed, "GET /echo HTTP/1.1\r\n" HOST "Origin: https://b.example:8443\r\n\r\n",  // so that the script can read why
       with_field(NO_KEY, to_b)},
      {&listed, "nonsense\r\n\r\n",
       with_field(refusal("400 Bad Request", "a request begins with a method and one space"), "Vary: Origin\r\n")},
  };
  for (const auto& row : rows) {
    Client client(*row.server);
    CHECK_EQ(client.ask(row.request), row.answer);
  }
  Client client(every);
  const std::string streamed = client.ask("GET /events HTTP/1.1\r\n" HOST "Origin: http://a\r\n\r\n");
  CHECK(streamed.find("Cache-Control: no-cache\r\nAccess-Control-Allow-Origin: *\r\n") != std::string::npos);
}

TEST(preflight) {
  static const Text both[] = {"http://a.example", "https://b.example:8443"}, any[] = {"*"};
  Guarded listed("secret", {both, 2}), every("secret", {any, 1}), none("");
  const std::string ask = "OPTIONS /v1/completions HTTP/1.1\r\n" HOST "Access-Control-Request-Method: POST\r\n";
  const auto allowed = [](const std::string& headers, const std::string& origin) {
    return "HTTP/1.1 204 No Content\r\n" DATE "Access-Control-Allow-Methods: GET, POST\r\nAccess-Control-Allow-Headers: " +
           headers + "\r\nAccess-Control-Max-Age: 86400\r\nAccess-Control-Allow-Origin: " + origin +
           "\r\nConnection: keep-alive\r\n\r\n";
  };
  const std::string usual = "Authorization, Content-Type, X-Api-Key", mine = "authorization,x-stainless-lang";
  Client client(listed);  // the connection is kept, and no key is needed
  CHECK_EQ(client.ask(ask + "Origin: http://a.example\r\n\r\n"), allowed(usual, "http://a.example\r\nVary: Origin"));
  CHECK_EQ(client.ask(ask + "Origin: http://a.example\r\nAccess-Control-Request-Headers: " + mine + "\r\n\r\n"),
           allowed(mine, "http://a.example\r\nVary: Origin"));
  CHECK_EQ(
      client.ask(ask + "Origin: http://a.example\r\nAccess-Control-Request-Headers: " + std::string(1025, 'h') + "\r\n\r\n"),
      allowed(usual, "http://a.example\r\nVary: Origin"));
  const std::string refused = client.ask(ask + "Origin: http://c.example\r\n\r\n");
  CHECK_EQ(refused.substr(0, 22), "HTTP/1.1 403 Forbidden");
  CHECK(refused.find("scripts of this origin may not ask here: --cors-origin names those that may") != std::string::npos);
  CHECK(refused.find("Access-Control") == std::string::npos);
  Client other(every);
  CHECK_EQ(other.ask(ask + "Origin: http://c.example\r\n\r\n"), allowed(usual, "*"));
  // What is no preflight.
  for (const std::string& bytes :
       {ask + "\r\n", std::string("OPTIONS /echo HTTP/1.1\r\n" HOST "Origin: http://c\r\n\r\n")}) {
    Client plain_options(every);
    CHECK_EQ(plain_options.ask(bytes).substr(0, 12), "HTTP/1.1 401");
  }
  Client without(none);
  CHECK_EQ(without.ask(ask + "Origin: http://a.example\r\n\r\n").substr(0, 12), "HTTP/1.1 405");
}

// --- Errors --------------------------------------------------------------------------------------------------------------

TEST(errors_by_path) {
  const struct {
    const char* path;
    HttpError error;
    const char* body;
  } rows[] = {
      {"/v1/edge/completions", {503, "Model not loaded"}, R"({"error":"Model not loaded"})"},
      {"/v1", {404, "no"}, R"({"error":"no"})"},
      {"", {400, "no"}, R"({"error":"no"})"},
      {"/generate", {503, "no"}, R"({"error":"no","status":"error"})"},
      {"/health", {401, "no"}, R"({"error":"no"})"},
      {"/v1/",
       {400, "a \"b\""},
       R"({"error":{"message":"a \"b\"","type":"invalid_request_error","param":null,"code":null}})"},
      {"/v1/edge", {404, "no"}, R"({"error":{"message":"no","type":"invalid_request_error","param":null,"code":null}})"},
      {"/v1/completions",
       {400, "no", "n", "too_many"},
       R"({"error":{"message":"no","type":"invalid_request_error","param":"n","code":"too_many"}})"},
      {"/v1/models",
       {401, "no"},
       R"({"error":{"message":"no","type":"authentication_error","param":null,"code":"invalid_api_key"}})"},
      {"/v1/models", {403, "no"}, R"({"error":{"message":"no","type":"permission_error","param":null,"code":null}})"},
      {"/v1/models",
       {429, "no"},
       R"({"error":{"message":"no","type":"requests","param":null,"code":"rate_limit_exceeded"}})"},
      {"/v1/models", {500, "no"}, R"({"error":{"message":"no","type":"server_error","param":null,"code":null}})"},
      {"/v1/models", {503, "no"}, R"({"error":{"message":"no","type":"server_error","param":null,"code":null}})"},
  };
  for (const auto& row : rows) {
    char buffer[512];
    Writer to(buffer);
    write_error_body(to, row.path, row.error);
    CHECK_EQ(string_of(to.text()), row.body);
  }
}

// What no handler answers has the shape of its path too.
TEST(refusals_by_path) {
  Guarded server("");
  const struct {
    const char *head, *status, *body;
  } rows[] = {
      {"GET /v1/nothing HTTP/1.1\r\n" HOST "\r\n", "404",
       R"({"error":{"message":"there is nothing at this path; there are /healthz, /echo, /v1/completions, /v1/edge/completions, /events, /later","type":"invalid_request_error","param":null,"code":null}})"},
      {"GET /v1/completions HTTP/1.1\r\n" HOST "\r\n", "405",
       R"({"error":{"message":"this path is there for POST and no other method","type":"invalid_request_error",)"
       R"("param":null,"code":null}})"},
      {"GET /v1/edge/nothing HTTP/1.1\r\n" HOST "\r\n", "404",
       R"({"error":"there is nothing at this path; there are /healthz, /echo, /v1/completions, /v1/edge/completions, /events, /later"})"},
      {"POST /chat/completions HTTP/1.1\r\n" HOST "\r\n", "404",
       R"({"error":"there is nothing at this path: use /v1/chat/completions"})"},
      {"GET /models HTTP/1.1\r\n" HOST "\r\n", "404", R"({"error":"there is nothing at this path: use /v1/models"})"},
      {"POST /api/generate HTTP/1.1\r\n" HOST "\r\n", "404",
       R"({"error":"there is nothing at this path: use /v1/completions"})"},
      {"POST /completion HTTP/1.1\r\n" HOST "\r\n", "404",
       R"({"error":"there is nothing at this path: use /v1/completions"})"},
      {"POST /v1/completions HTTP/1.1\r\n" HOST "Content-Length: 5001\r\n", "413",
       R"({"error":{"message":"the body is longer than this server takes: expected at most 5000 bytes, as --max-body-kb has it","type":"invalid_request_error","param":null,"code":null}})"},
      {"POST /v1/completions HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx", "400",
       R"({"error":{"message":"a chunk begins with its size in hexadecimal digits, and CR LF or ; behind it","type":"invalid_request_error","param":null,"code":null}})"},
  };
  for (const auto& row : rows) {
    Client client(server);
    const std::string answer = client.ask(row.head);
    CHECK_EQ(answer.substr(9, 3), row.status);
    CHECK_EQ(answer.substr(answer.find("\r\n\r\n") + 4), row.body);
  }
  // A HEAD is answered without a body, and the next refusal on the connection has one again.
  Client client(server);
  CHECK_EQ(client.ask("HEAD /healthz HTTP/1.1\r\n" HOST "\r\n"), plain("well").substr(0, plain("well").size() - 4));
  CHECK_EQ(client.ask("?\r\n"), refusal("400 Bad Request", "a request begins with a method and one space"));
}

// --- Reports -------------------------------------------------------------------------------------------------------------

static std::vector<std::string> reports;

static void report(void*, const Connection& c) {
  char line[LABEL_BYTES + 100];
  Writer to(line);
  write(to, Text(c.label), " ", c.figures.status, " ", c.figures.bytes, " ", c.figures.whole ? "whole" : "cut", " ",
        Text(c.peer));
  reports.push_back(string_of(to.text()));
}

TEST(reports) {
  Guarded server("secret");
  server.connections.report_to(report);
  const auto said = [] {
    std::string all;
    for (const std::string& line : reports)
      all += line + "\n";
    reports.clear();
    return all;
  };
  {
    Client client(server);
    size_t sizes[2] = {};
    for (size_t& size : sizes)
      size = client.ask("GET /echo?secret HTTP/1.1\r\n" HOST "X-Api-Key: secret\r\n\r\n").size();
    const std::string line = "GET /echo 200 " + std::to_string(sizes[0]) + " whole \n";
    CHECK_EQ(said(), line + line);
    const size_t size = client.ask("GET /" + std::string(300, 'p') + " HTTP/1.1\r\n" HOST "\r\n").size();
    CHECK_EQ(said(), "GET /" + std::string(LABEL_BYTES - 1 - 5, 'p') + " 401 " + std::to_string(size) + " whole \n");
  }
  {  // nothing to tell: no request
    Client client(server), other(server);
    client.send("GE");
    server.rounds();
    client.hang_up();
    other.hang_up();
    server.rounds();
    CHECK_EQ(said(), "");
  }
  {  // a head that does not end
    Client client(server);
    CHECK_EQ(client.ask("GET /a HTTP/1.1\r\n"), "");
    server.now += 11 * SECOND_NS;
    server.rounds();
    CHECK_EQ(said(), "GET /a 408 " + std::to_string(client.receive().size()) + " whole \n");
  }
  {  // gone before the answer, and within the body
    Client client(server), other(server);
    CHECK_EQ(client.ask("POST /later HTTP/1.1\r\n" HOST "X-Api-Key: secret\r\n\r\n"), "");
    CHECK_EQ(other.ask("POST /later HTTP/1.1\r\n" HOST "X-Api-Key: secret\r\nContent-Length: 3\r\n\r\nx"), "");
    client.hang_up();
    server.rounds();
    CHECK_EQ(said(), "POST /later 0 0 cut \n");
    other.hang_up();
    server.rounds();
    CHECK_EQ(said(), "POST /later 0 0 cut \n");
  }
}
