// What those who watch the server ask: whether it turns, whether it takes requests, and its figures.
#include "base/version.h"
#include "platform/clock.h"
#include "platform/heap.h"
#include "server/server.h"

namespace edgellm {

namespace {

constexpr i64 HEAD_ROOM = 1024;  // of an answer, for its head
constexpr Text PLAIN = "text/plain; charset=utf-8";

// A family with a value for each model.
template <class Value>
void each_model(MetricsWriter& out, const Server& server, const char* name, const char* type, const char* help,
                Value value) {
  out.family(name, type, help);
  for (const ServedModel& model : server.models) {
    out.plain();
    out.label("model", model.name);
    value(out, model.scheduler);
  }
}

void single(MetricsWriter& out, const char* name, const char* type, const char* help, u64 value) {
  out.family(name, type, help);
  out.whole(value);
}

// Nothing where it is unknown.
void reading(MetricsWriter& out, const char* name, const char* help, Reading value, i32 decimals) {
  if (!value.known) return;
  out.family(name, "gauge", help);
  out.real(value.value, decimals);
}

u64 bytes_of(f64 value) {
  return static_cast<u64>(value);
}

void write_process(MetricsWriter& out, const Server& server) {
  out.family("edgellm_build_info", "gauge", "Version of the program and its kernel set.");
  out.label("version", EDGELLM_VERSION);
  if (server.models.count) out.label("isa", server.models[0].engine.kernels.isa);
  out.whole(1);
  out.family("edgellm_uptime_seconds", "gauge", "Time since the server began to listen.");
  out.real(static_cast<f64>(now_ns() - server.began) / 1e9, 3);
  single(out, "process_start_time_seconds", "gauge", "When the server began to listen, since 1970-01-01 UTC.",
         static_cast<u64>(server.began_unix));
  out.family("process_cpu_seconds_total", "counter", "Processor time of the process, all threads.");
  out.real(static_cast<f64>(process_cpu_ns()) / 1e9, 3);
  if (heap_watch.counting.load())
    single(out, "edgellm_allocations_after_seal_total", "counter",
           "Allocations that were tried after all memory was taken, and refused.",
           static_cast<u64>(heap_watch.after_closing.load()));
}

void write_machine(MetricsWriter& out, const Server& server) {
  const Readings& r = server.gauges.readings();
  single(out, "edgellm_planned_memory_bytes", "gauge", "Memory taken at the start, beside the mapped model files.",
         static_cast<u64>(server.memory_bytes));
  if (r.resident_bytes.known)
    single(out, "process_resident_memory_bytes", "gauge", "Physical memory of the process, mapped files included.",
           bytes_of(r.resident_bytes.value));
  if (r.available_bytes.known)
    single(out, "edgellm_machine_available_memory_bytes", "gauge", "Memory that the machine or the control group has left.",
           bytes_of(r.available_bytes.value));
  reading(out, "edgellm_machine_memory_ratio", "Used share of the memory that the machine or the control group has.",
          r.memory_share, 4);
  reading(out, "edgellm_machine_cpu_ratio", "Busy share of all CPUs, over the last second or longer.", r.cpu_share, 4);
  reading(out, "edgellm_process_cpu_ratio", "Share of all CPUs that this process had, over the last second or longer.",
          r.process_share, 4);
  reading(out, "edgellm_cpu_temperature_celsius", "Temperature of the CPU, the hottest of its sensors.", r.temperature, 3);
  reading(out, "edgellm_power_watts", "Power of the board, or of all CPU packages.", r.power, 3);
}

void write_requests(MetricsWriter& out, const Server& server) {
  out.family("edgellm_http_requests_total", "counter", "Requests by route and status, counted when the answer was taken.");
  for (const RequestCounts::Row& row : server.requests.rows()) {
    char digits[8];
    Writer status(digits);
    if (row.status) status.add(row.status);
    const bool named = row.route && row.route->path.size;
    out.plain();
    out.label("method", row.route ? row.route->method : Text("other"));
    out.label("route", named ? row.route->path : Text("other"));
    out.label("status", row.status ? status.text() : Text("none")).whole(row.count);
  }
  single(out, "edgellm_connections", "gauge", "Open connections.", static_cast<u64>(server.connections.open()));
  single(out, "edgellm_draining", "gauge", "1 while the server ends what has begun and takes nothing new.", server.draining);
}

template <u64 ModelMetrics::* COUNT>
void counter(MetricsWriter& out, const Server& server, const char* name, const char* help) {
  each_model(out, server, name, "counter", help,
             [](MetricsWriter& to, const Scheduler& s) { to.whole(s.metrics().*COUNT); });
}

void write_models(MetricsWriter& out, const Server& server) {
  counter<&ModelMetrics::prompt_tokens>(out, server, "edgellm_prompt_tokens_total", "Tokens of prompts.");
  counter<&ModelMetrics::cached_tokens>(out, server, "edgellm_cached_tokens_total",
                                        "Tokens of prompts that were not run again.");
  counter<&ModelMetrics::tokens>(out, server, "edgellm_generated_tokens_total", "Tokens made.");
  counter<&ModelMetrics::repetition_stops>(out, server, "edgellm_repetition_stops_total",
                                           "Texts that were ended because they went in a circle.");
  counter<&ModelMetrics::deadline_misses>(out, server, "edgellm_deadline_misses_total",
                                          "Texts that were ended by their deadline.");
  each_model(out, server, "edgellm_time_to_first_token_seconds", "histogram", "From a text's arrival to its first token.",
             [](MetricsWriter& to, const Scheduler& s) { to.histogram(s.metrics().first_token); });
  each_model(out, server, "edgellm_inter_token_latency_seconds", "histogram", "Between two tokens of a text.",
             [](MetricsWriter& to, const Scheduler& s) { to.histogram(s.metrics().between_tokens); });
  each_model(
      out, server, "edgellm_token_negative_log_probability", "summary",
      "Minus the natural logarithm of the probability of every 16th token: minus the mean is the mean log probability.",
      [](MetricsWriter& to, const Scheduler& s) {
        to.summary(s.metrics().negative_log_probability, s.metrics().sampled_tokens);
      });
  each_model(out, server, "edgellm_slots", "gauge", "Texts that can be made at the same time.",
             [](MetricsWriter& to, const Scheduler& s) { to.whole(static_cast<u64>(s.slots())); });
  each_model(out, server, "edgellm_slots_busy", "gauge", "Texts that are being made.",
             [](MetricsWriter& to, const Scheduler& s) { to.whole(static_cast<u64>(s.busy())); });
  each_model(out, server, "edgellm_queue_length", "gauge", "Texts that wait for a slot.",
             [](MetricsWriter& to, const Scheduler& s) { to.whole(static_cast<u64>(s.waiting())); });
}

}  // namespace

void status_metrics(Server& server, Connection& c) {
  Writer body(server.composed.data, server.composed.count - HEAD_ROOM);
  MetricsWriter out(body);
  write_process(out, server);
  write_machine(out, server);
  write_requests(out, server);
  write_models(out, server);
  if (body.cut())
    return server.connections.answer_error(
        c, 500, "the figures of so many models need more room than an answer has: start with a larger --answer-kb");
  server.connections.answer(c, {.type = METRICS_TYPE}, body.text());
}

// The loop turns: it answered this.
void status_alive(Server& server, Connection& c) {
  server.connections.answer(c, {.type = PLAIN}, "ok\n");
}

void status_ready(Server& server, Connection& c) {
  const bool loaded = server.loaded(), ready = loaded && !server.draining;
  server.connections.answer(c, {.status = ready ? 200 : 503, .type = PLAIN},
                            ready    ? "ready\n"
                            : loaded ? "draining\n"
                                     : "no model is loaded\n");
}

}  // namespace edgellm
