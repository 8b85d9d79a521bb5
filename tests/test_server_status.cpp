// Health and figures of a server: what is answered when, what is counted, and that the document tells of every figure.
#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "made_root.h"
#include "metrics_format.h"
#include "platform/signals.h"
#include "program.h"
#include "scripted_model.h"
#include "serving.h"

using namespace edgellm;

namespace {

std::string completion(int tokens, const std::string& more = "") {
  return "{\"prompt\":\"xyz\",\"max_tokens\":" + std::to_string(tokens) + more + "}";
}

const char* const ASK = "POST /v1/edge/completions";

Exposition figures(Serving& serving, std::string* text = nullptr) {
  const Answer answer = serving.ask("GET /metrics");
  CHECK_EQ(answer.status, 200);
  CHECK_EQ(answer.field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  if (text) *text = answer.body;
  const Exposition read = read_exposition(answer.body);
  CHECK_EQ(read.wrong, "");
  return read;
}

std::string requests(const std::string& method, const std::string& route, const std::string& status) {
  return "edgellm_http_requests_total{method=\"" + method + "\",route=\"" + route + "\",status=\"" + status + "\"}";
}

std::string of(const std::string& name, const std::string& model = "script") {
  return "edgellm_" + name + "{model=\"" + model + "\"}";
}

// A root where every sensor is.
struct Root : MadeRoot {
  Root() {
    file("proc/stat", "cpu  100 0 0 100\n");
    file("proc/self/stat", "7 (a) R 1 7 7 0 -1 4194304 100 0 0 0 20 5 9 9 20 0 1 0 5344882\n");
    file("proc/self/statm", "5000 300 200 1 0 900 0\n");
    file("proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 250 kB\n");
    file("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
    file("sys/class/thermal/thermal_zone0/temp", "48250\n");
    file("sys/class/hwmon/hwmon0/name", "ina226\n");
    file("sys/class/hwmon/hwmon0/power1_input", "4250000\n");
  }
};

}  // namespace

TEST(alive_and_ready) {
  Serving serving({{"script", write_script(Script("abc"))}});
  CHECK_EQ(serving.ask("GET /healthz").body, "ok\n");
  CHECK_EQ(serving.ask("HEAD /healthz").status, 200);
  CHECK_EQ(serving.ask("GET /readyz").body, "ready\n");
  CHECK_EQ(serving.ask("POST /readyz").status, 405);
  const int late = serving.connect("");  // taken before the server drains, and asks then
  const int running = serving.connect(Serving::request(ASK, completion(20)));
  serving.rounds(2);
  set_interrupted(true);
  serving.rounds(1);
  set_interrupted(false);
  const std::string ask = Serving::request("GET /readyz", "");
  CHECK_EQ(::send(late, ask.data(), ask.size(), MSG_NOSIGNAL), static_cast<ssize_t>(ask.size()));
  const Answer answer = serving.wait(late);
  CHECK_EQ(answer.status, 503);
  CHECK_EQ(answer.body, "draining\n");
  ::close(running);
}

TEST(not_ready_without_a_model) {
  Serving serving({});
  CHECK_EQ(serving.ask("GET /healthz").status, 200);
  const Answer answer = serving.ask("GET /readyz");
  CHECK_EQ(answer.status, 503);
  CHECK_EQ(answer.body, "no model is loaded\n");
  CHECK(figures(serving).has("edgellm_uptime_seconds"));
}

TEST(health_needs_no_key_and_figures_do) {
  Serving serving({{"script", write_script(Script("abc"))}});
  ApiKey key = {"secret", 6};
  serving.server.connections.restrict_to({{&key, 1}, {}});
  CHECK_EQ(serving.ask("GET /healthz").status, 200);
  CHECK_EQ(serving.ask("GET /readyz").status, 200);
  CHECK_EQ(serving.ask("GET /metrics").status, 401);
  CHECK_EQ(serving.ask("GET /metrics", "", "Authorization: Bearer secret\r\n").status, 200);
}

TEST(what_is_counted) {
  Script script("abcdefgh");
  script.context = 200;
  ServeOptions options = Serving::small();
  options.slots = 1;
  options.stop_repeats = true;
  Serving serving({{"script", write_script(script)}}, options);
  Exposition read = figures(serving);
  for (const char* name : {"prompt_tokens_total", "generated_tokens_total", "slots_busy", "queue_length",
                           "repetition_stops_total", "deadline_misses_total"})
    CHECK_EQ(read.at(of(name)), 0.0);
  CHECK_EQ(read.at(of("slots")), 1.0);

  std::vector<int> clients;
  for (int i = 0; i < 3; i++) {
    clients.push_back(serving.connect(Serving::request(ASK, completion(20))));
    serving.rounds(2);
  }
  read = figures(serving);
  CHECK_EQ(read.at(of("slots_busy")), 1.0);
  CHECK_EQ(read.at(of("queue_length")), 2.0);
  CHECK_EQ(read.at("edgellm_connections"), 4.0);  // and the one that asks
  for (int client : clients)
    CHECK_EQ(serving.wait(client).status, 200);

  CHECK_EQ(serving.ask(ASK, completion(100)).status, 200);  // goes in a circle of 8
  CHECK_EQ(serving.ask(ASK, completion(0)).status, 400);
  CHECK_EQ(serving.ask("GET /nowhere").status, 404);
  const int gone = serving.connect(Serving::request(ASK, completion(50)));
  serving.rounds(2);
  ::close(gone);
  serving.rounds(2);

  read = figures(serving);
  CHECK_EQ(read.at(requests("POST", "/v1/edge/completions", "200")), 4.0);
  CHECK_EQ(read.at(requests("POST", "/v1/edge/completions", "400")), 1.0);
  CHECK_EQ(read.at(requests("POST", "/v1/edge/completions", "none")), 1.0);
  CHECK_EQ(read.at(requests("other", "other", "404")), 1.0);
  CHECK_EQ(read.at(requests("GET", "/metrics", "200")), 2.0);
  CHECK_EQ(read.at(of("prompt_tokens_total")), 15.0);
  CHECK_EQ(read.at(of("repetition_stops_total")), 1.0);
  CHECK_EQ(read.at(of("deadline_misses_total")), 0.0);
  CHECK_EQ(read.at(of("time_to_first_token_seconds_count")), 5.0);
  const double made = read.at(of("generated_tokens_total"));
  CHECK(made >= 3 * 20 + 64 + 1 && made <= 3 * 20 + 64 + 4);  // few of the one that nobody waited for
  CHECK_EQ(read.at(of("inter_token_latency_seconds_count")), made - 5);
  CHECK_EQ(read.at(of("token_negative_log_probability_count")), std::ceil(made / 16));
  CHECK(read.at(of("token_negative_log_probability_sum")) > 0);
}

TEST(what_the_machine_does) {
  Root root;
  Serving serving({{"script", write_script(Script("abc"))}});
  const char* const names[] = {"edgellm_machine_cpu_ratio",
                               "edgellm_process_cpu_ratio",
                               "edgellm_machine_memory_ratio",
                               "edgellm_machine_available_memory_bytes",
                               "process_resident_memory_bytes",
                               "edgellm_cpu_temperature_celsius",
                               "edgellm_power_watts"};
  Exposition read = figures(serving);
  for (const char* name : names)
    CHECK(!read.types.count(name));  // unknown: absent, and no 0
  const i64 now = now_ns();
  serving.server.gauges.open(root.path.c_str(), now);
  root.file("proc/stat", "cpu  175 0 0 125\n");
  root.file("proc/self/stat", "7 (a) R 1 7 7 0 -1 4194304 100 0 0 0 30 20 9 9 20 0 1 0 5344882\n");
  serving.server.gauges.update(now + Gauges::INTERVAL);
  read = figures(serving);
  CHECK_EQ(read.at("edgellm_machine_cpu_ratio"), 0.75);
  CHECK_EQ(read.at("edgellm_process_cpu_ratio"), 0.25);
  CHECK_EQ(read.at("edgellm_machine_memory_ratio"), 0.75);
  CHECK_EQ(read.at("edgellm_machine_available_memory_bytes"), 250.0 * 1024);
  CHECK_EQ(read.at("process_resident_memory_bytes"), 300.0 * static_cast<double>(sysconf(_SC_PAGESIZE)));
  CHECK_EQ(read.at("edgellm_cpu_temperature_celsius"), 48.25);
  CHECK_EQ(read.at("edgellm_power_watts"), 4.25);
}

// Each row of the table in docs/SERVE.md is a family with that type, and each family is in a row.
TEST(the_document_tells_of_every_figure) {
  Root root;
  Serving serving({{"one", write_script(Script("abc"))}, {"two \"quoted\"", write_script(Script("012"))}});
  const i64 now = now_ns();
  serving.server.gauges.open(root.path.c_str(), now);
  root.file("proc/stat", "cpu  175 0 0 125\n");
  serving.server.gauges.update(now + Gauges::INTERVAL);
  CHECK_EQ(serving.ask(ASK, completion(20, ",\"model\":\"two \\\"quoted\\\"\"")).status, 200);
  std::string text;
  const Exposition read = figures(serving, &text);
  CHECK_EQ(read.at(of("generated_tokens_total", "one")), 0.0);
  CHECK_EQ(read.at(of("generated_tokens_total", "two \\\"quoted\\\"")), 20.0);

  std::map<std::string, std::string> told;
  std::istringstream document(read_file("docs/SERVE.md"));
  for (std::string line; std::getline(document, line);) {
    if (line.rfind("| `edgellm_", 0) != 0 && line.rfind("| `process_", 0) != 0) continue;
    const size_t end = line.find(" | "), type = line.find(" | ", end + 3);
    for (size_t at = line.find('`'); at < end; at = line.find('`', line.find('`', at + 1) + 1))
      told[line.substr(at + 1, line.find('`', at + 1) - at - 1)] = line.substr(end + 3, type - end - 3);
  }
  CHECK(told.size() > 25);
  std::map<std::string, std::string> found = read.types;
  found["edgellm_allocations_after_seal_total"] = "counter";  // of the program alone
  for (const auto& [name, type] : found)
    CHECK_EQ(name + " " + (told.count(name) ? told[name] : "is not in docs/SERVE.md"), name + " " + type);
  for (const auto& [name, type] : told)
    CHECK_EQ(name + " " + (found.count(name) ? type : "is not in /metrics"), name + " " + type);

  check_with_promtool(text);
}

TEST(too_many_figures_for_an_answer) {
  ServeOptions options = Serving::small();
  options.connections.answer = 4096;
  Serving serving({{"script", write_script(Script("abc"))}}, options);
  const Answer answer = serving.ask("GET /metrics");
  CHECK_EQ(answer.status, 500);
  CHECK_EQ(
      answer.body,
      "{\"error\":\"the figures of so many models need more room than an answer has: start with a larger --answer-kb\"}");
}
