// The figures of `bench`: in words, as a row of a table, as JSON.
#include "arch/kv_cache.h"
#include "cli/bench.h"
#include "cli/json_output.h"
#include "platform/heap.h"

namespace edgellm {

i64 bytes_per_pass(const Bench& bench, i32 position) {
  const Engine& engine = bench.engine;
  const i64 slots = cache_slots(engine.limits), recurrent = engine.model.recurrent_bytes;
  const i64 cache = (engine.model.state_bytes - recurrent) * min<i64>(position, slots) / slots;
  return engine.model.weight_bytes + bench.sessions * (recurrent + cache);
}

namespace {

f64 bytes_per_second(const Bench& bench, const Place& place) {
  return static_cast<f64>(bytes_per_pass(bench, place.position)) * place.decode.tok_s / bench.sessions;
}

void json_percentiles(JsonWriter& json, Text name, const Percentiles& ms) {
  json.open(name);
  json.real("p50", {ms.p50, 4});
  json.real("p99", {ms.p99, 4});
  json.real("p999", {ms.p999, 4});
  json.real("max", {ms.max, 4});
  json.close();
}

void json_places(JsonWriter& json, const Bench& bench, const Measured& m) {
  json.open("at");
  for (i32 i = 0; i < m.place_count; i++) {
    const Place& place = m.places[i];
    char position[16];
    Writer key(position);
    json.open(write(key, place.position).text());
    json.real("decode_tok_s", {place.decode.tok_s, 2});
    json.real("decode_spread_percent", {place.decode.spread, 2});
    json.number("bytes_per_token", bytes_per_pass(bench, place.position) / bench.sessions);
    json.real("gb_s", {bytes_per_second(bench, place) / 1e9, 2});
    json.real("cpu_percent", {place.cpu_percent, 1});
    json_percentiles(json, "ms_per_token", place.token_ms);
    json.close();
  }
  json.close();
}

void report_json(const Report& report, const Bench& bench, const Measured& m) {
  const Engine& engine = bench.engine;
  const Place& first = m.places[0];
  f64 rate = bytes_per_second(bench, first);
  JsonOutput json(report.fd);
  json.text("model", bench.path);
  json.text("isa", engine.kernels.isa);
  json.number("threads", engine.threads.count());
  json.number("ctx", engine.limits.context);
  json.real("decode_tok_s", {first.decode.tok_s, 2});
  json.real("decode_spread_percent", {first.decode.spread, 2});
  json.real("prefill_tok_s", {m.prefill.tok_s, 2});
  json.real("prefill_spread_percent", {m.prefill.spread, 2});
  json.number("sessions", bench.sessions);
  json_percentiles(json, "ms_per_token", first.token_ms);
  json_percentiles(json, "ms_alternating", m.alternating_ms);
  json_percentiles(json, "ms_empty_loop", m.empty_ms);
  json.real("ttft_ms", {m.ttft_ms, 3});
  json.real("load_ms", {m.load_ms, 3});
  json.number("bytes_per_token", bytes_per_pass(bench, first.position) / bench.sessions);
  json.real("gb_s", {rate / 1e9, 2});
  json.real("read_gb_s", {m.read_bytes_per_second / 1e9, 2});
  json.real("bandwidth_share", {rate / m.read_bytes_per_second, 3});
  json.real("cpu_percent", {first.cpu_percent, 1});
  json.real("rss_mb", megabytes(m.resident_bytes, 2));
  json.real("planned_mb", megabytes(engine.arena_bytes, 2));
  json.real("page_faults_per_token", {m.faults_per_token, 3});
  if (engine.model.zero_codes) json.real("zero_activations", {engine.model.zero_codes->percent() / 100, 4});
  json.number("allocations_after_seal", heap_watch.after_closing.load());
  char hash[20];
  Writer writer(hash);
  json.text("logits_hash", write(writer, Hex{m.hash, 16}).text());
  if (m.place_count > 1) json_places(json, bench, m);
  json.finish();
}

// " +- 1.2 %", if there is a spread.
Text spread_words(const Rate& rate, Writer& words) {
  words.clear();
  if (rate.spread >= 0) write(words, " +- ", Fixed{rate.spread, 1}, " %");
  return words.text();
}

void print_percentiles(const Report& report, const Percentiles& ms) {
  output(report.fd, Fixed{ms.p50, 3}, " ms (median; 99 of 100 within ", Fixed{ms.p99, 3});
}

void print_place(const Report& report, const Bench& bench, const Measured& m, const Place& place) {
  char buffer[32];
  Writer spread(buffer);
  const f64 rate = bytes_per_second(bench, place);
  output(report.fd, "decode      ", Fixed{place.decode.tok_s, 2}, " tok/s", spread_words(place.decode, spread),
         ": writes an answer, after ", place.position, " tokens\n            ");
  if (bench.sessions > 1) output(report.fd, bench.sessions, " answers at once; ");
  output(report.fd, bench.sessions > 1 ? "a token of each takes " : "a token takes ");
  print_percentiles(report, place.token_ms);
  output(report.fd, ", 999 of 1000 within ", Fixed{place.token_ms.p999, 3}, ", all within ", Fixed{place.token_ms.max, 3},
         ")\n            it reads ", Fixed{rate / 1e9, 1}, " GB/s, ", Fixed{100 * rate / m.read_bytes_per_second, 0},
         " % of the ", Fixed{m.read_bytes_per_second / 1e9, 1}, " that the memory gave, with ", Fixed{place.cpu_percent, 0},
         " % of a core\n");
}

void print_rest(const Report& report, const Bench& bench, const Measured& m) {
  const Engine& engine = bench.engine;
  output(report.fd, "memory      ", megabytes(m.resident_bytes, 1), " MB at most: the file has ",
         megabytes(engine.file.bytes().count, 1), ", ", megabytes(engine.arena_bytes, 1), " were taken at the start\n");
  output(report.fd, "steadiness  ", Fixed{m.faults_per_token, 3}, " page faults a token, ", heap_watch.after_closing.load(),
         " allocations since the start\n            what the machine does to any program: in turn with a loop that only "
         "counts,\n"
         "            a token takes ");
  print_percentiles(report, m.alternating_ms);
  output(report.fd, "), the loop ");
  print_percentiles(report, m.empty_ms);
  output(report.fd, ")\n");
  if (engine.model.zero_codes) {
    output(report.fd, "zeros       ", Fixed{engine.model.zero_codes->percent(), 1},
           " % of the values inside the feed-forward (after its squared ReLU)\n");
  }
  output(report.fd, "logits hash: ", Hex{m.hash, 16}, "\n");
}

void report_words(const Report& report, const Bench& bench, const Measured& m) {
  const Engine& engine = bench.engine;
  char buffer[32];
  Writer spread(buffer);
  output(report.fd, "model       ", bench.path, "; kernels ", engine.kernels.isa, ", threads ", engine.threads.count(),
         ", context ", engine.limits.context, "\n");
  output(report.fd, "loading     ", Fixed{m.load_ms, 2}, " ms\n");
  if (m.ttft_ms > 0) {
    output(report.fd, "prefill     ", Fixed{m.prefill.tok_s, 1}, " tok/s", spread_words(m.prefill, spread),
           ": reads a prompt of ", bench.prompt_tokens, " tokens; the first of the answer comes after ", Fixed{m.ttft_ms, 2},
           " ms\n");
  }
  for (i32 i = 0; i < m.places_done; i++)
    print_place(report, bench, m, m.places[i]);
  if (m.complete) print_rest(report, bench, m);
  if (bench.repeat > 1) output(report.fd, "tok/s are medians of ", bench.repeat, " repetitions, +- half their range\n");
}

// `text` at the right of so many columns, or at the left.
void cell(const Report& report, Text text, i64 columns, bool left = false) {
  constexpr Text SPACES = "                                                                ";
  const Text space = SPACES.slice(0, min(max<i64>(columns - text.size, 0), SPACES.size));
  output(report.fd, left ? text : space, left ? space : text);
}

void number_cell(const Report& report, Fixed number, i64 columns) {
  char buffer[32];
  Writer writer(buffer);
  cell(report, write(writer, number).text(), columns);
}

constexpr i64 RATE_COLUMNS = 11, SPREAD_COLUMNS = 11, MS_COLUMNS = 10, SIZE_COLUMNS = 10;

void rate_cells(const Report& report, const Rate& rate) {
  char buffer[32];
  Writer spread(buffer);
  number_cell(report, {rate.tok_s, 1}, RATE_COLUMNS);
  cell(report, spread_words(rate, spread), SPREAD_COLUMNS, true);
}

void report_head(const Report& report, const Bench& bench, const Measured& m) {
  const Engine& engine = bench.engine;
  output(report.fd, report.machine, "; kernels ", engine.kernels.isa, ", threads ", engine.threads.count(),
         ", memory is read at ", Fixed{m.read_bytes_per_second / 1e9, 1}, " GB/s\n");
  output(report.fd, "prefill: reads a prompt of ", bench.prompt_tokens, " tokens. decode: writes ", bench.count,
         " tokens of an answer");
  if (bench.repeat > 1) output(report.fd, ". Medians of ", bench.repeat, " repetitions, +- half their range");
  output(report.fd, "\n\n");
  cell(report, "model", report.name_columns, true);
  cell(report, "file MB", SIZE_COLUMNS);
  cell(report, "prefill tok/s", RATE_COLUMNS + SPREAD_COLUMNS);
  cell(report, "decode tok/s", RATE_COLUMNS + SPREAD_COLUMNS);
  cell(report, "ms p50", MS_COLUMNS);
  cell(report, "ms p99", MS_COLUMNS);
  cell(report, "memory MB", SIZE_COLUMNS);
  output(report.fd, "\n");
}

// A row; one more for each further position.
void report_rows(const Report& report, const Bench& bench, const Measured& m) {
  for (i32 i = 0; i < m.places_done; i++) {
    const Place& place = m.places[i];
    char buffer[32];
    Writer at(buffer);
    if (i == 0) {
      cell(report, bench.path, report.name_columns, true);
      number_cell(report, megabytes(bench.engine.file.bytes().count, 1), SIZE_COLUMNS);
      rate_cells(report, m.prefill);
    } else {
      cell(report, write(at, "  after ", place.position, " tokens").text(),
           report.name_columns + SIZE_COLUMNS + RATE_COLUMNS + SPREAD_COLUMNS, true);
    }
    rate_cells(report, place.decode);
    number_cell(report, {place.token_ms.p50, 3}, MS_COLUMNS);
    number_cell(report, {place.token_ms.p99, 3}, MS_COLUMNS);
    if (i == 0) number_cell(report, megabytes(m.resident_bytes, 1), SIZE_COLUMNS);
    output(report.fd, i == 0 && !m.complete ? "  (interrupted)\n" : "\n");
  }
}

}  // namespace

void report_figures(const Report& report, const Bench& bench, const Measured& measured) {
  if (report.json) {
    if (measured.complete) report_json(report, bench, measured);
  } else if (!report.machine) {
    report_words(report, bench, measured);
  } else {
    if (report.head) report_head(report, bench, measured);
    report_rows(report, bench, measured);
  }
}

void report_failure(const Report& report, const char* path, i32 exit_code, const char* why) {
  if (report.json) {
    JsonOutput json(report.fd);
    json.text("model", path);
    json.text("error", why);
    json.number("exit_code", exit_code);
    json.finish();
  } else {
    cell(report, path, report.name_columns, true);
    output(report.fd, "  ", why, "\n");
  }
}

}  // namespace edgellm
