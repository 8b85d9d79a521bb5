// The edge routes: what they answer, byte for byte, and what a request may say of its text.
#include <algorithm>
#include <filesystem>
#include <regex>
#include <sstream>

#include "engine/generate.h"
#include "scripted_model.h"
#include "serving.h"
#include "spoiled_model.h"

using namespace edgellm;

static std::string completion(const std::string& text, int tokens, const std::string& model = "script") {
  return "{\"response\":\"" + text + "\",\"model\":\"" + model +
         "\",\"node\":\"box\",\"device\":\"cpu\",\"tokens_generated\":" + std::to_string(tokens) +
         ",\"mode\":\"sustained\"}";
}

static std::string refusal(const std::string& why) {
  return "{\"error\":\"" + why + "\"}";
}

// What health says, without what changes from moment to moment.
static std::string shape(const std::string& health) {
  static const std::regex date("\"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]Z\"");
  static const std::regex rate("[0-9]+\\.[0-9]\\}$");
  return std::regex_replace(std::regex_replace(health, date, "DATE"), rate, "RATE}");
}

constexpr const char* UNKNOWN = "\"memory_percent\":null,\"memory_available_gb\":null,\"cpu_percent\":null";

static std::string said_of_health(const std::string& status, const std::string& model, int slots, int busy, int waiting,
                                  const std::string& readings = UNKNOWN) {
  return "{\"status\":\"" + status + "\",\"model_loaded\":" + (slots ? "true" : "false") +
         ",\"node\":\"box\",\"device\":\"cpu\",\"model\":" + model + "," + readings +
         ",\"msp_mode\":\"sustained\",\"timestamp\":DATE,\"slots\":" + std::to_string(slots) +
         ",\"slots_busy\":" + std::to_string(busy) + ",\"queue_length\":" + std::to_string(waiting) +
         ",\"tokens_per_second\":RATE}";
}

struct Row {
  std::string body, fields;
  int status;
  std::string answer;
};

TEST(completions) {
  const std::string hundred = [] {
    std::string text;
    for (int i = 0; i < 10; i++)
      text += "0123456789";
    return text;
  }();
  const std::string stops = "stop: expected a string of 1 to 256 bytes, or a list of up to 16 such strings, got ";
  const std::string priority = "expected an integer from -100 to 100, got ";
  const Row rows[] = {
      {"{\"prompt\":\"x\"}", "", 200, completion(hundred, 100)},
      {"{\"prompt\":\"x\",\"max_tokens\":3}", "", 200, completion("012", 3)},
      {"{\"prompt\":\"x\",\"max_tokens\":120}", "", 200, completion(hundred + "01234567890123456789", 120)},
      {"{\"prompt\":\"x\",\"max_tokens\":121}", "", 200, completion(hundred + "01234567890123456789", 120)},
      {"{\"prompt\":\"x\",\"max_tokens\":2147483647}", "", 200, completion(hundred + "01234567890123456789", 120)},
      {"{\"prompt\":\"x\",\"max_tokens\":null}", "", 200, completion(hundred, 100)},
      {"{\"prompt\":\"x\",\"stop\":\"45\"}", "", 200, completion("0123", 6)},
      {"{\"prompt\":\"x\",\"stop\":[\"zz\",\"8\"]}", "", 200, completion("01234567", 9)},
      {"{\"prompt\":\"x\",\"stop\":[],\"max_tokens\":1}", "", 200, completion("0", 1)},
      {"{\"prompt\":\"x\",\"max_tokens\":2,\"temperature\":0,\"top_p\":1,\"seed\":18446744073709551615,\"priority\":-100,"
       "\"timeout_ms\":86400000,\"model\":\"any name\"}",
       "X-Priority: 100\r\n", 200, completion("01", 2)},
      {"{\"prompt\":\"x\"", "", 400, refusal("not JSON at byte 13: expected ',' or '}', got the end")},
      {"", "", 400, refusal("not JSON at byte 0: expected a value, got the end")},
      {"[]", "", 400, refusal("the body of the request is not a JSON object")},
      {"{}", "", 400, refusal("prompt: expected a string, there is none")},
      {"{\"prompt\":7}", "", 400, refusal("prompt: expected a string, got 7")},
      {"{\"prompt\":\"\"}", "", 400, refusal("the prompt is empty, and the tokenizer names no first id")},
      {"{\"prompt\":\"x\",\"top_k\":1}", "", 400,
       refusal("unknown field \\\"top_k\\\"; there are prompt, max_tokens, model, temperature, top_p, seed, stop, priority, "
               "timeout_ms")},
      {"{\"prompt\":\"x\",\"max_tokens\":0}", "", 400,
       refusal("max_tokens: expected an integer from 1 to 2147483647, got 0")},
      {"{\"prompt\":\"x\",\"max_tokens\":1.5}", "", 400,
       refusal("max_tokens: expected an integer from 1 to 2147483647, got 1.5")},
      {"{\"prompt\":\"x\",\"temperature\":-1}", "", 400, refusal("temperature: expected a number from 0 to 100, got -1")},
      {"{\"prompt\":\"x\",\"top_p\":1.5}", "", 400, refusal("top_p: expected a number from 0 to 1, got 1.5")},
      {"{\"prompt\":\"x\",\"seed\":-1}", "", 400,
       refusal("seed: expected an integer from 0 to 18446744073709551615, got -1; leave it out for one that is drawn")},
      {"{\"prompt\":\"x\",\"stop\":\"\"}", "", 400, refusal(stops + "\\\"\\\"")},
      {"{\"prompt\":\"x\",\"stop\":5}", "", 400, refusal(stops + "5")},
      {"{\"prompt\":\"x\",\"stop\":[\"a\",{}]}", "", 400, refusal(stops + "an object")},
      {"{\"prompt\":\"x\",\"priority\":101}", "", 400, refusal("priority: " + priority + "101")},
      {"{\"prompt\":\"x\"}", "X-Priority: high\r\n", 400, refusal("X-Priority: " + priority + "\\\"high\\\"")},
      {"{\"prompt\":\"x\"}", "X-Priority:\r\n", 400, refusal("X-Priority: " + priority + "\\\"\\\"")},
      {"{\"prompt\":\"x\"}", "X-Priority: 5               6\r\n", 400,
       refusal("X-Priority: " + priority + "\\\"5               6\\\"")},
      {"{\"prompt\":\"x\",\"timeout_ms\":0}", "", 400, refusal("timeout_ms: expected an integer from 1 to 86400000, got 0")},
      {"{\"prompt\":\"x\",\"model\":3}", "", 400, refusal("model: expected a string, got 3")},
      {"{\"prompt\":\"" + std::string(500, 'x') + "\"}", "", 400,
       refusal("the prompt has 500 tokens, the context is of 400: shorten it, or start the server with --window 400 --ctx "
               "500, which sees the last 400 of them")},
  };
  Script script("0123456789");
  script.context = 400;
  ServeOptions options = Serving::small();
  options.edge_tokens = 120;
  Serving serving({{"script", write_script(script)}}, options);
  for (const Row& row : rows) {
    const Answer answer = serving.ask("POST /v1/edge/completions", row.body, row.fields);
    CHECK_EQ(answer.status, row.status);
    CHECK_EQ(answer.body, row.answer);
    CHECK_EQ(answer.field("Content-Type"), "application/json");
  }
}

// A prompt that is refused, and the way out that the refusal names.
TEST(longer_prompts) {
  Script script("0123456789");
  script.context = 400;
  const std::string file = write_script(script), prompt = "{\"prompt\":\"" + std::string(500, 'x') + "\",\"max_tokens\":3}";
  EngineOptions engine;
  engine.window = 400;
  engine.context = 500;
  Serving serving({{"script", file}}, Serving::small(), engine);
  CHECK_EQ(serving.ask("POST /v1/edge/completions", prompt).body, completion("012", 3));
}

// Texts that are not ended in time when the server ends.
TEST(cut_off) {
  Script script("0123456789");
  script.context = 400;
  for (const bool stream : {false, true}) {
    ServeOptions options = Serving::small();
    options.drain = 0;
    Serving serving({{"script", write_script(script)}}, options);
    const std::string why = "the server ends before the text";
    const int edge = serving.connect(Serving::request("POST /v1/edge/completions", "{\"prompt\":\"x\"}"));
    const int openai = serving.connect(Serving::request(
        "POST /v1/completions", std::string("{\"prompt\":\"x\",\"n\":2,\"stream\":") + (stream ? "true}" : "false}")));
    CHECK_EQ(serving.end(), 2);
    CHECK_EQ(serving.wait(edge).body, refusal(why));
    const Answer answer = serving.wait(openai);
    CHECK_EQ(answer.status, stream ? 200 : 500);
    CHECK(contains(answer.body, "{\"error\":{\"message\":\"" + why + "\""));
    if (stream) CHECK(contains(answer.body, "data: [DONE]"));
  }
}

// The ids that a model of its own draws come from the seed, the temperature and top_p of the request.
TEST(sampling) {
  const std::string file = "models/stories.tm2";
  Serving serving({{"stories", file}});
  EngineOptions options;
  options.threads = 1;
  options.text_bytes = 1000;
  OpenEngine alone(options, file);
  struct Sampling {
    f32 temperature, top_p;
    u64 seed;
  };
  std::vector<std::string> texts;
  for (const Sampling& row : {Sampling{0, 0.9f, 1}, {0.7f, 0.9f, 1}, {0.7f, 0.9f, 2}, {2, 1, 2}, {2, 0.25f, 2}}) {
    GenerateOptions how;
    how.count = 20;
    how.sampling = {.temperature = row.temperature, .top_p = row.top_p, .seed = row.seed};
    Span<const i32> ids;
    CHECK(encode(alone.engine, "Once upon a time", {.add_bos = true}, &ids).ok());
    std::string text;
    auto add = [](void* to, Text piece) {
      static_cast<std::string*>(to)->append(piece.data, static_cast<size_t>(piece.size));
      return true;
    };
    Generated made;
    alone.engine.sessions[0].restart();
    CHECK(generate(alone.engine, alone.engine.sessions[0], ids, how, add, &text, &made).ok());
    std::ostringstream body;
    body << "{\"prompt\":\"Once upon a time\",\"max_tokens\":20,\"seed\":" << row.seed
         << ",\"temperature\":" << row.temperature << ",\"top_p\":" << row.top_p << "}";
    const Answer answer = serving.ask("POST /v1/edge/completions", body.str());
    CHECK_EQ(answer.body, completion(text, made.count, "stories"));
    CHECK(std::find(texts.begin(), texts.end(), text) == texts.end());
    texts.push_back(text);
  }
}

TEST(no_model) {
  Serving serving({});
  const Answer health = serving.ask("GET /v1/edge/health");
  CHECK_EQ(health.status, 200);
  CHECK_EQ(shape(health.body), said_of_health("no_model", "null", 0, 0, 0));
  CHECK_EQ(serving.ask("GET /v1/edge/models").body, "{\"available\":[],\"loaded\":null,\"device\":\"cpu\"}");
  const Answer answer = serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\"}");
  CHECK_EQ(answer.status, 503);
  CHECK_EQ(answer.body, refusal("Model not loaded"));
}

TEST(several_models) {
  Serving serving({{"letters", write_script(Script("abc"))}, {"digits", write_script(Script("012"))}});
  CHECK_EQ(serving.ask("GET /v1/edge/models").body,
           "{\"available\":[\"letters\",\"digits\"],\"loaded\":\"letters\",\"device\":\"cpu\"}");
  const Row rows[] = {
      {"{\"prompt\":\"x\",\"max_tokens\":4}", "", 200, completion("abca", 4, "letters")},
      {"{\"prompt\":\"x\",\"max_tokens\":4,\"model\":null}", "", 200, completion("abca", 4, "letters")},
      {"{\"prompt\":\"x\",\"max_tokens\":4,\"model\":\"letters\"}", "", 200, completion("abca", 4, "letters")},
      {"{\"prompt\":\"x\",\"max_tokens\":4,\"model\":\"digits\"}", "", 200, completion("0120", 4, "digits")},
      {"{\"prompt\":\"x\",\"max_tokens\":4,\"model\":\"Digits\"}", "", 404,
       refusal("model: expected one of letters, digits, got \\\"Digits\\\"")},
      {"{\"prompt\":\"x\",\"max_tokens\":4,\"model\":\"\"}", "", 404,
       refusal("model: expected one of letters, digits, got \\\"\\\"")},
  };
  for (const Row& row : rows) {
    const Answer answer = serving.ask("POST /v1/edge/completions", row.body);
    CHECK_EQ(answer.status, row.status);
    CHECK_EQ(answer.body, row.answer);
  }
}

// Names that do not all fit into a sentence.
TEST(long_names) {
  const std::string one(100, 'a'), two(100, 'b'), file = write_script(Script("abc"));
  Serving serving({{one, file}, {two, file}});
  const Answer answer = serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\",\"model\":\"c\"}");
  CHECK_EQ(answer.status, 404);
  CHECK_EQ(answer.body, refusal("model: expected the name of a model that is served, got \\\"c\\\""));
  CHECK_EQ(serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\",\"max_tokens\":1,\"model\":\"" + two + "\"}").body,
           completion("a", 1, two));
}

static std::string asks(const std::string& more = "") {
  return Serving::request("POST /v1/edge/completions", "{\"prompt\":\"x\",\"max_tokens\":9" + more + "}");
}

// One slot and two places in the queue: a fourth text has none, and the others lose nothing by it.
TEST(full_queue) {
  ServeOptions options = Serving::small();
  options.slots = 1;
  Serving serving({{"script", write_script(Script("0123456789"))}}, options);
  int clients[4];
  for (int& client : clients) {
    client = serving.connect(asks());
    serving.rounds(2);
  }
  const Answer refused = serving.wait(clients[3]);
  CHECK_EQ(refused.status, 429);
  CHECK_EQ(refused.field("Retry-After"), "1");
  CHECK_EQ(refused.body, refusal("the queue is full: try again"));
  for (int i = 0; i < 3; i++)
    CHECK_EQ(serving.wait(clients[i]).body, completion("012345678", 9));
  CHECK_EQ(serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\",\"max_tokens\":1}").body, completion("0", 1));
}

// Of texts that wait the one with the higher priority goes first, whether the body or the head says it.
TEST(priorities) {
  ServeOptions options = Serving::small();
  options.slots = 1;
  Serving serving({{"script", write_script(Script("0123456789"))}}, options);
  for (const bool header : {false, true}) {
    const int first = serving.connect(asks());
    serving.rounds(2);
    const int low = serving.connect(asks());
    serving.rounds(2);
    const int high = serving.connect(
        header ? Serving::request("POST /v1/edge/completions", "{\"prompt\":\"x\",\"max_tokens\":9}", "X-Priority: 3\r\n")
               : asks(",\"priority\":3"));
    CHECK_EQ(serving.wait(first).status, 200);
    CHECK_EQ(serving.wait(high).body, completion("012345678", 9));
    char byte;
    CHECK(recv(low, &byte, 1, MSG_PEEK) < 0);
    CHECK_EQ(serving.wait(low).body, completion("012345678", 9));
  }
}

// A text whose time is over ends with what there is.
TEST(timeouts) {
  Script script("0123456789");
  script.context = 400;
  Serving serving({{"script", write_script(script)}});
  const int client = serving.connect(asks(",\"timeout_ms\":1"));
  serving.rounds(2);
  sleep_until_ns(now_ns() + 2000000);
  const Answer answer = serving.wait(client);
  CHECK_EQ(answer.status, 200);
  bool begins = false;
  for (int tokens = 0; tokens < 5; tokens++)
    begins |= answer.body == completion(std::string("01234").substr(0, static_cast<size_t>(tokens)), tokens);
  CHECK(begins);
}

TEST(computing_fails) {
  Serving serving({{"spoiled", write_spoiled_model()}});
  for (int i = 0; i < 3; i++) {  // more than there are slots
    const Answer answer = serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\"}");
    CHECK_EQ(answer.status, 500);
    CHECK_EQ(answer.body, refusal("the output head gave logits that are not finite at position 0"));
  }
}

// A text that is longer than an answer may be ends where its room does.
TEST(room_of_an_answer) {
  ServeOptions options = Serving::small();
  options.connections.answer = 2048 + 7;
  Serving serving({{"script", write_script(Script("\"ab\"cd"))}}, options);
  const Answer answer = serving.ask("POST /v1/edge/completions", "{\"prompt\":\"x\"}");
  CHECK_EQ(answer.status, 200);
  CHECK_EQ(answer.body, completion("\\\"ab\\\"c", 6));
}

// What health says while texts are made, while some wait, and afterwards.
TEST(health) {
  Serving serving({{"letters", write_script(Script("abc"))}, {"digits", write_script(Script("012"))}});
  const auto expected = [](int busy, int waiting) { return said_of_health("healthy", "\"letters\"", 4, busy, waiting); };
  CHECK_EQ(shape(serving.ask("GET /v1/edge/health").body), expected(0, 0));
  std::vector<int> clients;
  for (int i = 0; i < 3; i++)
    clients.push_back(serving.connect(asks(",\"model\":\"digits\"")));
  clients.push_back(serving.connect(asks()));
  serving.rounds(2);
  CHECK_EQ(shape(serving.ask("GET /v1/edge/health").body), expected(3, 1));
  for (int client : clients)
    CHECK_EQ(serving.wait(client).status, 200);
  CHECK_EQ(shape(serving.ask("GET /v1/edge/health").body), expected(0, 0));
}

// What a made system shows of itself; its CPUs were busy for a quarter of the time.
TEST(readings_in_health) {
  const Folder root;
  for (const char* folder : {"/proc", "/sys/class/thermal/thermal_zone0"})
    std::filesystem::create_directories(root.path + folder);
  write_file(root / "proc/meminfo", "MemTotal: 8000000 kB\nMemAvailable: 6000000 kB\n");
  write_file(root / "proc/stat", "cpu  100 0 0 100 0 0 0 0 0 0\n");
  write_file(root / "sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
  write_file(root / "sys/class/thermal/thermal_zone0/temp", "61250\n");
  Serving serving({});
  const i64 now = now_ns();
  serving.server.gauges.open(root.path.c_str(), now + 3600 * Gauges::INTERVAL);  // no update in the rounds here
  write_file(root / "proc/stat", "cpu  150 0 0 250 0 0 0 0 0 0\n");
  const std::string memory = "\"memory_percent\":25.0,\"memory_available_gb\":6.14,", heat = ",\"temperature_c\":61.2";
  CHECK_EQ(shape(serving.ask("GET /v1/edge/health").body),
           said_of_health("no_model", "null", 0, 0, 0, memory + "\"cpu_percent\":null" + heat));
  serving.server.gauges.update(now + 3601 * Gauges::INTERVAL);
  CHECK_EQ(shape(serving.ask("GET /v1/edge/health").body),
           said_of_health("no_model", "null", 0, 0, 0, memory + "\"cpu_percent\":25.0" + heat));
}

TEST(rate_of_tokens) {
  constexpr i64 second = 1000000000;
  TokenRate rate;
  rate.count(100 * second, 5);
  CHECK_EQ(rate.per_second(101 * second - 1), 0.0);  // the second that it is does not count yet
  CHECK_EQ(rate.per_second(101 * second), 0.5);
  rate.count(101 * second, 10);
  rate.count(102 * second - 1, 10);
  rate.count(104 * second, 3);
  CHECK_EQ(rate.per_second(104 * second), 2.5);
  CHECK_EQ(rate.per_second(105 * second), 2.8);
  CHECK_EQ(rate.per_second(111 * second - 1), 2.8);
  CHECK_EQ(rate.per_second(111 * second), 2.3);
  CHECK_EQ(rate.per_second(112 * second), 0.3);
  CHECK_EQ(rate.per_second(115 * second), 0.0);
  rate.count(1000 * second, 40);
  CHECK_EQ(rate.per_second(1001 * second), 4.0);
  CHECK_EQ(rate.per_second(5000 * second), 0.0);
}
