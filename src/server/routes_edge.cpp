// The edge routes: what the boxes of a federation ask of each other.
#include "base/json_writer.h"
#include "platform/clock.h"
#include "server/text_request.h"

namespace edgellm {

namespace {

constexpr i64 DEFAULT_TOKENS = 100;
constexpr const char* MODE = "sustained";

// What the system shows, `units` for each 1 of it; null where it does not.
void write_reading(JsonWriter& json, Text key, const Reading& reading, f64 units, i32 decimals) {
  reading.known ? json.real(key, {reading.value * units, decimals}) : json.null(key);
}

void answer_text(Choice& choice) {
  if (answer_failure(choice)) return;
  const Reply& reply = *choice.reply;
  Server& server = *reply.server;
  const Completed& completed = choice.completed;
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.text("response", choice.text());
  json.text("model", reply.model->name);
  json.text("node", server.options.node);
  json.text("device", DEVICE);
  json.number("tokens_generated", completed.made);
  json.text("mode", MODE);
  json.close();
  server.answer_json(*server.connection(reply), body);
}

constexpr ReplyForm FORM = {nullptr, nullptr, answer_text};

}  // namespace

void edge_completions(Server& server, Connection& c) {
  begin_plain_text(server, c, {DEFAULT_TOKENS, server.options.edge_tokens}, FORM);
}

void edge_health(Server& server, Connection& c) {
  const bool loaded = server.loaded();
  i64 slots = 0, busy = 0, waiting = 0;
  for (const ServedModel& model : server.models) {
    slots += model.scheduler.slots();
    busy += model.scheduler.busy();
    waiting += model.scheduler.waiting();
  }
  char buffer[32];
  Writer timestamp(buffer);
  write_iso_date(timestamp, unix_seconds());
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.text("status", loaded ? "healthy" : "no_model");
  json.flag("model_loaded", loaded);
  json.text("node", server.options.node);
  json.text("device", DEVICE);
  server.write_first_model(json, "model");
  const Readings& readings = server.gauges.readings();
  write_reading(json, "memory_percent", readings.memory_share, 100, 1);
  write_reading(json, "memory_available_gb", readings.available_bytes, 1e-9, 2);
  write_reading(json, "cpu_percent", readings.cpu_share, 100, 1);
  if (readings.temperature.known) write_reading(json, "temperature_c", readings.temperature, 1, 1);
  json.text("msp_mode", MODE);
  json.text("timestamp", timestamp.text());
  json.number("slots", slots);
  json.number("slots_busy", busy);
  json.number("queue_length", waiting);
  json.real("tokens_per_second", {server.rate.per_second(now_ns()), 1});
  json.close();
  server.answer_json(c, body);
}

void edge_models(Server& server, Connection& c) {
  Writer body = server.compose();
  JsonWriter json(body);
  json.open({});
  json.open_list("available");
  for (const ServedModel& model : server.models)
    json.text({}, model.name);
  json.close_list();
  server.write_first_model(json, "loaded");
  json.text("device", DEVICE);
  json.close();
  server.answer_json(c, body);
}

}  // namespace edgellm
