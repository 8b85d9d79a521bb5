// The figures of the program itself, sealed: nothing is allocated, and the machine is read again behind the seal.
#include <cstdlib>

#include "made_root.h"
#include "metrics_format.h"
#include "scripted_model.h"
#include "server_process.h"

namespace {

Exposition figures(int port) {
  const std::string answer = ask_port(port, "GET /metrics");
  CHECK_EQ(status_of(answer), 200);
  const Exposition read = read_exposition(body_of(answer));
  CHECK_EQ(read.wrong, "");
  return read;
}

}  // namespace

TEST(a_sealed_server) {
  MadeRoot root;
  root.file("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n");
  root.file("sys/class/thermal/thermal_zone0/temp", "41000\n");
  setenv("EDGELLM_SYSFS", root.path.c_str(), 1);
  ServerProcess server("models/stories.tm2 --threads 1 --stop-repeats");
  unsetenv("EDGELLM_SYSFS");
  CHECK_EQ(body_of(ask_port(server.port(), "GET /healthz")), "ok\n");
  CHECK_EQ(body_of(ask_port(server.port(), "GET /readyz")), "ready\n");
  const std::string body = R"({"prompt":"Once upon a time","max_tokens":20,"temperature":0})";
  for (int i = 0; i < 3; i++)
    CHECK_EQ(status_of(ask_port(server.port(), "POST /v1/edge/completions", body)), 200);
  Exposition read = figures(server.port());
  CHECK_EQ(read.at("edgellm_cpu_temperature_celsius"), 41.0);
  CHECK(!read.types.count("edgellm_power_watts"));
  CHECK_EQ(read.at("edgellm_generated_tokens_total{model=\"stories\"}"), 60.0);
  CHECK_EQ(read.at("edgellm_token_negative_log_probability_count{model=\"stories\"}"), 4.0);
  CHECK(read.at("edgellm_cached_tokens_total{model=\"stories\"}") > 0);
  CHECK(read.at("edgellm_planned_memory_bytes") > 1e6);
  root.file("sys/class/thermal/thermal_zone0/temp", "57500\n");
  CHECK(comes_true([&] { return figures(server.port()).at("edgellm_cpu_temperature_celsius") == 57.5; }));
  read = figures(server.port());
  const bool release = std::getenv("EDGELLM_MODE") && std::string(std::getenv("EDGELLM_MODE")) == "release";
#if defined(__linux__)
  if (release) CHECK_EQ(read.at("edgellm_allocations_after_seal_total"), 0.0);
#endif
  if (!release) CHECK(!(read.at("edgellm_allocations_after_seal_total") > 0));
}

// The root that is real here: what every system of this kind says.
TEST(this_machine) {
#if defined(__linux__)
  ServerProcess server("models/stories.tm2 --threads 1");
  CHECK(comes_true([&] { return figures(server.port()).types.count("edgellm_machine_cpu_ratio") > 0; }));
  const Exposition read = figures(server.port());
  for (const char* name : {"edgellm_machine_cpu_ratio", "edgellm_process_cpu_ratio", "edgellm_machine_memory_ratio"})
    CHECK(read.at(name) >= 0 && read.at(name) <= 1);
  CHECK(read.at("process_resident_memory_bytes") > 1e6);
  CHECK(read.at("edgellm_machine_available_memory_bytes") > 0);
#else
  SKIP("only Linux tells");
#endif
}

// A text that goes in a circle, in the answer, in the figures and in the log; without the option it goes on.
TEST(a_text_that_goes_in_a_circle) {
  Script script("abcd");
  script.context = 200;
  const std::string model = "--model script=" + write_script(script);
  for (const bool asked_for : {false, true}) {
    ServerProcess server(model + " --threads 1 --log" + (asked_for ? " --stop-repeats" : ""));
    const std::string answer = body_of(ask_port(server.port(), "POST /v1/edge/completions", R"({"prompt":"x"})"));
    CHECK(contains(answer, asked_for ? "\"tokens_generated\":64," : "\"tokens_generated\":100,"));
    CHECK_EQ(figures(server.port()).at("edgellm_repetition_stops_total{model=\"script\"}"), asked_for ? 1.0 : 0.0);
    const std::string ending = asked_for ? "\"ending\":\"repetition\"" : "\"ending\":\"length\"";
    CHECK(contains(server.next_line(), ending));
  }
}
