// edgellm bench: how fast a model runs here, beside how fast this machine reads memory in the same minute.
#include "arch/kv_cache.h"
#include "base/sort.h"
#include "cli/command.h"
#include "cli/json_writer.h"
#include "platform/bandwidth.h"
#include "platform/clock.h"
#include "platform/heap.h"
#include "platform/machine.h"
#include "platform/seal.h"

namespace edgellm {

namespace {

constexpr i32 MAX_PLACES = 16;

struct Percentiles {
  f64 p50, p99, p999, max;  // ms
};

// Sorts the samples in place.
Percentiles percentiles(Span<f64> samples) {
  shell_sort(samples, [](f64 a, f64 b) { return a > b; });
  auto at = [&](f64 share) {
    return samples[min(samples.count - 1, static_cast<i64>(share * static_cast<f64>(samples.count)))];
  };
  return {at(0.5), at(0.99), at(0.999), samples[samples.count - 1]};
}

f64 median(Span<f64> values) {
  return percentiles(values).p50;
}

// What is measured at one position.
struct Place {
  i32 position;
  f64 decode_tok_s;
  Percentiles token_ms;
};

struct Measured {
  f64 load_ms;
  f64 ttft_ms;  // prompt to first id, median of the repetitions
  f64 prefill_tok_s;
  f64 read_bytes_per_second;
  Place places[MAX_PLACES];
  i32 place_count;
  i32 places_done;             // fewer than place_count: a signal came meanwhile
  bool complete;               // no signal came before everything was measured
  Percentiles alternating_ms;  // tokens at the first place, each followed by
  Percentiles empty_ms;        // a loop of as long that touches no memory: what the machine itself does to such a time
  f64 faults_per_token;
  i64 resident_bytes;  // at most, less the buffer that the read bandwidth was measured with
  u64 hash;
};

struct Bench {
  Engine engine;
  i32 prompt_tokens;
  i32 count;
  i32 repeat;
  i32 sessions;       // decoded in one batch
  Span<i32> ids;      // (prompt_tokens or the furthest position) made-up prompt
  Span<f64> samples;  // (count * repeat) ms of each pass
  Span<f64> empty;    // (count * repeat) ms of each empty loop
  Span<f64> seconds;  // (repeat)
  Span<Step> steps;   // (sessions) one token each
  Span<i32> next;     // (sessions) these tokens
};

// The buffers of the numbers above, in an arena that counts and then in one that gives.
void take_buffers(Arena& arena, i64 prompt, Bench* bench) {
  auto span = [&]<class T>(i64 count, Span<T>* to) { *to = {arena.take<T>(count), count}; };
  const i64 samples = i64{bench->count} * bench->repeat;
  span(prompt, &bench->ids);
  span(samples, &bench->samples);
  span(samples, &bench->empty);
  span(bench->repeat, &bench->seconds);
  span(bench->sessions, &bench->steps);
  span(bench->sessions, &bench->next);
}

Status prefill(Bench& bench, Session& session, i32 tokens) {
  session.restart();
  if (tokens == 0) return {};
  Step step = {&session, bench.ids.slice(0, tokens), Wanted::last};
  return forward(bench.engine, {&step, 1});
}

Status measure_prefill(Bench& bench, Measured* result) {
  for (i32 r = 0; r < bench.repeat; r++) {
    i64 start = now_ns();
    EDGELLM_TRY(prefill(bench, bench.engine.sessions[0], bench.prompt_tokens));
    (void)bench.engine.kernels.argmax(logits_row(bench.engine, 0), bench.engine.model.vocab);
    bench.seconds[r] = static_cast<f64>(now_ns() - start) / 1e9;
  }
  f64 typical = median(bench.seconds);
  result->ttft_ms = typical * 1e3;
  result->prefill_tok_s = bench.prompt_tokens / typical;
  return {};
}

// All sessions go back to `position`, to decode from there on.
void rewind(Bench& bench, i32 position) {
  for (i32 s = 0; s < bench.sessions; s++) {
    bench.engine.sessions[s].position = position;
    bench.next[s] = bench.ids[0];
    bench.steps[s] = {&bench.engine.sessions[s], {&bench.next[s], 1}, Wanted::last};
  }
}

// One greedy token of all sessions together.
Status decode(Bench& bench) {
  Engine& engine = bench.engine;
  EDGELLM_TRY(forward(engine, bench.steps));
  for (i32 s = 0; s < bench.sessions; s++)
    bench.next[s] = max(0, engine.kernels.argmax(logits_row(engine, s), engine.model.vocab));
  return {};
}

f64 ms_since(i64 start) {
  return static_cast<f64>(now_ns() - start) / 1e6;
}

// The timeline before `position` is filled once and then used again.
Status measure_decode(Bench& bench, i32 position, Place* place) {
  for (i32 s = 0; s < bench.sessions; s++)
    EDGELLM_TRY(prefill(bench, bench.engine.sessions[s], position));
  i64 at = 0;
  for (i32 r = 0; r < bench.repeat; r++) {
    rewind(bench, position);
    f64 total = 0;
    for (i32 i = 0; i < bench.count; i++) {
      i64 start = now_ns();
      EDGELLM_TRY(decode(bench));
      total += bench.samples[at++] = ms_since(start);
    }
    bench.seconds[r] = total / 1e3;
  }
  place->position = position;
  place->decode_tok_s = bench.count * bench.sessions / median(bench.seconds);
  place->token_ms = percentiles(bench.samples.slice(0, at));
  return {};
}

void empty_loop(i64 rounds) {
  for (volatile i64 i = 0; i < rounds;)
    i = i + 1;
}

// Tokens and empty loops in turn. Every machine interrupts a program now and then, so no token can be steadier than such a loop.
Status measure_stalls(Bench& bench, const Place& place, Measured* result) {
  constexpr i64 TRIAL = 1 << 20;
  i64 start = now_ns();
  empty_loop(TRIAL);
  i64 rounds = static_cast<i64>(static_cast<f64>(TRIAL) * place.token_ms.p50 / ms_since(start));
  i64 at = 0;
  for (i32 r = 0; r < bench.repeat; r++) {
    rewind(bench, place.position);
    for (i32 i = 0; i < bench.count; i++, at++) {
      start = now_ns();
      EDGELLM_TRY(decode(bench));
      bench.samples[at] = ms_since(start);
      start = now_ns();
      empty_loop(rounds);
      bench.empty[at] = ms_since(start);
    }
  }
  result->alternating_ms = percentiles(bench.samples.slice(0, at));
  result->empty_ms = percentiles(bench.empty.slice(0, at));
  return {};
}

// Not while something is timed.
Status count_zeros(Bench& bench, const Place& place) {
  ZeroCodes* counted = bench.engine.model.zero_codes;
  if (!counted) return {};
  counted->counting = true;
  rewind(bench, place.position);
  for (i32 i = 0; i < bench.count; i++)
    EDGELLM_TRY(decode(bench));
  return {};
}

Status measure(Bench& bench, Span<const u8> buffer, Measured* result) {
  EDGELLM_TRY(prefill(bench, bench.engine.sessions[0], 1));  // warms up: first touches of the map
  result->read_bytes_per_second = read_bandwidth(bench.engine.threads, buffer, BANDWIDTH_PASSES);
  EDGELLM_TRY(measure_prefill(bench, result));
  PageFaults before = {};
  for (i32 i = 0; i < result->place_count; i++) {
    if (i == 0) {
      EDGELLM_TRY(prefill(bench, bench.engine.sessions[0], result->places[0].position));
      before = page_faults();
    }
    EDGELLM_TRY(measure_decode(bench, result->places[i].position, &result->places[i]));
    result->places_done++;
    if (i == 0) {
      PageFaults after = page_faults();
      i64 faults = after.minor - before.minor + after.major - before.major;
      result->faults_per_token = static_cast<f64>(faults) / (bench.count * bench.repeat);
    }
  }
  EDGELLM_TRY(measure_stalls(bench, result->places[0], result));
  result->resident_bytes = peak_resident_bytes() - buffer.count;
  result->hash = logits_hash(bench.engine, 0);
  EDGELLM_TRY(count_zeros(bench, result->places[0]));
  result->complete = true;
  return {};
}

// Bytes of weights and caches that one pass at `position` reads.
i64 bytes_per_pass(const Bench& bench, i32 position) {
  const Engine& engine = bench.engine;
  const i64 slots = cache_slots(engine.limits), recurrent = engine.model.recurrent_bytes;
  const i64 cache = (engine.model.state_bytes - recurrent) * min<i64>(position, slots) / slots;
  return engine.model.weight_bytes + bench.sessions * (recurrent + cache);
}

f64 bytes_per_second(const Bench& bench, const Place& place) {
  return static_cast<f64>(bytes_per_pass(bench, place.position)) * place.decode_tok_s / bench.sessions;
}

void print_percentiles(JsonWriter& json, Text name, const Percentiles& ms) {
  json.open(name);
  json.real("p50", {ms.p50, 4});
  json.real("p99", {ms.p99, 4});
  json.real("p999", {ms.p999, 4});
  json.real("max", {ms.max, 4});
  json.close();
}

void print_json(const Bench& bench, const Measured& m, const char* path) {
  const Engine& engine = bench.engine;
  const Place& first = m.places[0];
  f64 rate = bytes_per_second(bench, first);
  JsonWriter json(STDOUT);
  json.text("model", path);
  json.text("isa", engine.kernels.isa);
  json.number("threads", engine.threads.count());
  json.number("ctx", engine.limits.context);
  json.real("decode_tok_s", {first.decode_tok_s, 2});
  json.real("prefill_tok_s", {m.prefill_tok_s, 2});
  json.number("sessions", bench.sessions);
  print_percentiles(json, "ms_per_token", first.token_ms);
  print_percentiles(json, "ms_alternating", m.alternating_ms);
  print_percentiles(json, "ms_empty_loop", m.empty_ms);
  json.real("ttft_ms", {m.ttft_ms, 3});
  json.real("load_ms", {m.load_ms, 3});
  json.number("bytes_per_token", bytes_per_pass(bench, first.position) / bench.sessions);
  json.real("gb_s", {rate / 1e9, 2});
  json.real("read_gb_s", {m.read_bytes_per_second / 1e9, 2});
  json.real("bandwidth_share", {rate / m.read_bytes_per_second, 3});
  json.real("rss_mb", megabytes(m.resident_bytes, 2));
  json.real("planned_mb", megabytes(engine.arena_bytes, 2));
  json.real("page_faults_per_token", {m.faults_per_token, 3});
  if (engine.model.zero_codes) json.real("zero_activations", {engine.model.zero_codes->percent() / 100, 4});
  json.number("allocations_after_seal", heap_watch.after_closing.load());
  char hash[20];
  Writer writer(hash);
  json.text("logits_hash", write(writer, Hex{m.hash, 16}).text());
  if (m.place_count > 1) {
    json.open("at");
    for (i32 i = 0; i < m.place_count; i++) {
      const Place& place = m.places[i];
      char position[16];
      Writer key(position);
      json.open(write(key, place.position).text());
      json.real("decode_tok_s", {place.decode_tok_s, 2});
      json.number("bytes_per_token", bytes_per_pass(bench, place.position) / bench.sessions);
      json.real("gb_s", {bytes_per_second(bench, place) / 1e9, 2});
      print_percentiles(json, "ms_per_token", place.token_ms);
      json.close();
    }
    json.close();
  }
  json.finish();
}

void print_text(const Bench& bench, const Measured& m, const char* path) {
  const Engine& engine = bench.engine;
  print("model     ", path, ", kernels ", engine.kernels.isa, ", threads ", engine.threads.count(), ", context ",
        engine.limits.context, "\n");
  print("load      ", Fixed{m.load_ms, 2}, " ms\n");
  if (m.ttft_ms > 0) {
    print("prefill   ", Fixed{m.prefill_tok_s, 1}, " tok/s (", bench.prompt_tokens, " tokens, first id after ",
          Fixed{m.ttft_ms, 2}, " ms)\n");
  }
  for (i32 i = 0; i < m.places_done; i++) {
    const Place& place = m.places[i];
    f64 rate = bytes_per_second(bench, place);
    print("decode    ", Fixed{place.decode_tok_s, 2}, " tok/s at position ", place.position,
          bench.sessions > 1 ? " in all sessions; ms a pass: p50 " : "; ms a token: p50 ", Fixed{place.token_ms.p50, 3},
          ", p99 ", Fixed{place.token_ms.p99, 3}, ", p99.9 ", Fixed{place.token_ms.p999, 3}, ", max ",
          Fixed{place.token_ms.max, 3}, "; ", Fixed{rate / 1e9, 1}, " GB/s, ",
          Fixed{100 * rate / m.read_bytes_per_second, 0}, " % of ", Fixed{m.read_bytes_per_second / 1e9, 1}, "\n");
  }
  if (!m.complete) return;
  print("memory    ", megabytes(m.resident_bytes, 1), " MB resident at most, ", megabytes(engine.arena_bytes, 1),
        " MB planned, file ", megabytes(engine.file.bytes().count, 1), " MB\n");
  print("steady    ", Fixed{m.faults_per_token, 3}, " page faults a token, ", heap_watch.after_closing.load(),
        " allocations after the seal\n");
  print("stalls    alternating with an empty loop: token p50 ", Fixed{m.alternating_ms.p50, 3}, ", p99 ",
        Fixed{m.alternating_ms.p99, 3}, " ms; the loop p50 ", Fixed{m.empty_ms.p50, 3}, ", p99 ", Fixed{m.empty_ms.p99, 3},
        " ms\n");
  if (engine.model.zero_codes) {
    print("zeros     ", Fixed{engine.model.zero_codes->percent(), 1}, " % of the squared ReLUs' codes\n");
  }
  print("logits hash: ", Hex{m.hash, 16}, "\n");
}

Status read_places(const Options& options, Measured* result) {
  EDGELLM_TRY(parse_list(
      "--at", options.bench_at,
      [](void* context, i32 position) {
        Measured& to = *static_cast<Measured*>(context);
        if (to.place_count < MAX_PLACES) to.places[to.place_count].position = position;
        to.place_count++;
      },
      result));
  if (result->place_count >= 1 && result->place_count <= MAX_PLACES) return {};
  return usage_error("--at: give 1 to ", MAX_PLACES, " positions");
}

}  // namespace

Status bench_command(Options& options) {
  if (!options.model) options.model = bundled_model();
  if (!options.model) return usage_error("bench: no bundled model found, give a model file");
  static Bench bench;
  static Measured result;
  EDGELLM_TRY(read_places(options, &result));
  bench.count = options.count_given ? max(1, options.generate.count) : 64;
  bench.prompt_tokens = options.bench_prompt;
  bench.repeat = options.repeat;
  bench.sessions = options.engine.sessions;
  options.engine.logits = bench.sessions;
  i32 furthest = 0;
  for (i32 i = 0; i < result.place_count; i++)
    furthest = max(furthest, result.places[i].position);
  const i64 needed = max<i64>(i64{furthest} + bench.count, bench.prompt_tokens);
  if (needed > MAX_CONTEXT)
    return usage_error("bench: ", needed, " positions are needed, at most ", MAX_CONTEXT, " can be held");
  if (options.engine.window == 0) {
    options.engine.default_context = 0;
    options.engine.least_context = max(static_cast<i32>(needed), 512);
  }

  i64 start = now_ns();
  EDGELLM_TRY(open_model(options, &bench.engine));
  result.load_ms = ms_since(start);
  Span<u8> buffer, own;
  EDGELLM_TRY(take_bandwidth_buffer(this_machine(), &buffer));
  const i32 prompt = max(max(furthest, bench.prompt_tokens), 1);
  Arena counting;
  take_buffers(counting, prompt, &bench);
  EDGELLM_TRY(take_memory(counting.used(), {}, &own));
  Arena arena(own.data, own.count);
  take_buffers(arena, prompt, &bench);
  for (i64 i = 0; i < prompt; i++)
    bench.ids[i] = static_cast<i32>((i * 7919 + 1) % bench.engine.model.vocab);
  EDGELLM_TRY(seal_as_asked(options, SEAL_FIGURES));

  Status status = measure(bench, buffer, &result);
  if (!status.ok() && !status.interrupted()) return status;
  if (!options.json) {
    print_text(bench, result, options.model);
  } else if (result.complete) {
    print_json(bench, result, options.model);
  }
  if (!result.complete) note("bench: interrupted before everything was measured\n");
  return status;
}

}  // namespace edgellm
