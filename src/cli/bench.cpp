// edgellm bench: how fast a model runs here, beside how fast this machine reads memory in the same minute. Of several models each
// is measured in a process of its own, because a sealed one can open nothing more.
#include "cli/bench.h"

#include "base/sort.h"
#include "cli/find_model.h"
#include "platform/bandwidth.h"
#include "platform/clock.h"
#include "platform/process.h"
#include "platform/seal.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

// Sorts the samples in place.
Percentiles percentiles(Span<f64> samples) {
  shell_sort(samples, [](f64 a, f64 b) { return a > b; });
  auto at = [&](f64 share) {
    return samples[min(samples.count - 1, static_cast<i64>(share * static_cast<f64>(samples.count)))];
  };
  return {at(0.5), at(0.99), at(0.999), samples[samples.count - 1]};
}

// Of repetitions that made `tokens` each.
Rate rate_of(f64 tokens, Span<f64> seconds) {
  const Percentiles p = percentiles(seconds);
  const f64 slowest = tokens / p.max, fastest = tokens / seconds[0], typical = tokens / p.p50;
  return {typical, seconds.count > 1 ? 50 * (fastest - slowest) / typical : __builtin_nan("")};
}

// The buffers of Bench, in an arena that counts and then in one that gives.
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
  begin_stage("prefill", i64{bench.prompt_tokens} * bench.repeat, Unit::model_tokens);
  for (i32 r = 0; r < bench.repeat; r++) {
    i64 start = now_ns();
    EDGELLM_TRY(prefill(bench, bench.engine.sessions[0], bench.prompt_tokens));
    (void)bench.engine.kernels.argmax(logits_row(bench.engine, 0), bench.engine.model.vocab);
    bench.seconds[r] = static_cast<f64>(now_ns() - start) / 1e9;
  }
  result->ttft_ms = percentiles(bench.seconds).p50 * 1e3;
  result->prefill = rate_of(bench.prompt_tokens, bench.seconds);
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

// Between two tokens, so that showing it is in no time.
void begin_tokens(const Bench& bench, const char* doing) {
  begin_stage(doing, i64{bench.count} * bench.repeat * bench.sessions, Unit::tokens);
}

// The timeline before `position` is filled once and then used again.
Status measure_decode(Bench& bench, i32 position, Place* place) {
  begin_stage("filling the context", i64{position} * bench.sessions, Unit::model_tokens);
  for (i32 s = 0; s < bench.sessions; s++)
    EDGELLM_TRY(prefill(bench, bench.engine.sessions[s], position));
  char doing[40];
  Writer words(doing);
  write(words, "decoding after ", position, " tokens");
  begin_tokens(bench, doing);
  i64 at = 0;
  const i64 cpu = process_cpu_ns(), begin = now_ns();
  for (i32 r = 0; r < bench.repeat; r++) {
    rewind(bench, position);
    f64 total = 0;
    for (i32 i = 0; i < bench.count; i++) {
      i64 start = now_ns();
      EDGELLM_TRY(decode(bench));
      total += bench.samples[at++] = ms_since(start);
      advance_stage(bench.sessions, Unit::tokens);
    }
    bench.seconds[r] = total / 1e3;
  }
  place->cpu_percent = static_cast<f64>(process_cpu_ns() - cpu) / 1e4 / ms_since(begin);
  end_stage();
  place->position = position;
  place->decode = rate_of(f64{1} * bench.count * bench.sessions, bench.seconds);
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
  begin_tokens(bench, "decoding in turn with an empty loop");
  for (i32 r = 0; r < bench.repeat; r++) {
    rewind(bench, place.position);
    for (i32 i = 0; i < bench.count; i++, at++) {
      start = now_ns();
      EDGELLM_TRY(decode(bench));
      bench.samples[at] = ms_since(start);
      start = now_ns();
      empty_loop(rounds);
      bench.empty[at] = ms_since(start);
      advance_stage(bench.sessions, Unit::tokens);
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
  begin_stage("counting zeros", i64{bench.count} * bench.sessions, Unit::model_tokens);
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

// What the options ask for, of any model.
Status prepare(Options& options, Bench* bench, Measured* result, i32* prompt) {
  EDGELLM_TRY(read_places(options, result));
  bench->count = options.count_given ? max(1, options.generate.count) : 64;
  bench->prompt_tokens = options.bench_prompt;
  bench->repeat = options.repeat;
  bench->sessions = options.engine.sessions;
  options.engine.logits = bench->sessions;
  i32 furthest = 0;
  for (i32 i = 0; i < result->place_count; i++)
    furthest = max(furthest, result->places[i].position);
  const i64 needed = max<i64>(i64{furthest} + bench->count, bench->prompt_tokens);
  if (needed > MAX_CONTEXT)
    return usage_error("bench: ", needed, " positions are needed, at most ", MAX_CONTEXT, " can be held");
  if (options.engine.window == 0) {
    options.engine.default_context = 0;
    options.engine.least_context = max(static_cast<i32>(needed), 512);
  }
  *prompt = max(max(furthest, bench->prompt_tokens), 1);
  return {};
}

// Measures the model at options.model and reports it under the name that was typed.
Status bench_model(Options& options, const char* name, const Report& report) {
  static Bench bench;
  static Measured result;
  i32 prompt = 1;
  EDGELLM_TRY(prepare(options, &bench, &result, &prompt));
  bench.path = name;
  i64 start = now_ns();
  EDGELLM_TRY(open_model(options, &bench.engine));
  result.load_ms = ms_since(start);
  Span<u8> buffer, own;
  EDGELLM_TRY(take_bandwidth_buffer(this_machine(), &buffer));
  Arena counting;
  take_buffers(counting, prompt, &bench);
  EDGELLM_TRY(take_memory(counting.used(), {}, &own));
  Arena arena(own.data, own.count);
  take_buffers(arena, prompt, &bench);
  for (i64 i = 0; i < prompt; i++)
    bench.ids[i] = static_cast<i32>((i * 7919 + 1) % bench.engine.model.vocab);
  EDGELLM_TRY(seal_as_asked(options, SEAL_FIGURES));

  Status status = measure(bench, buffer, &result);
  end_stage();
  if (!status.ok() && !status.interrupted()) return status;
  report_figures(report, bench, result);
  if (!result.complete) note("bench: interrupted before everything was measured\n");
  return status;
}

// Its row says why there are no figures, so that its status needs no words; a usage error without any means something else.
Status bench_in_child(Options& options, const Report& report) {
  const char* name = options.model;
  Status status = find_models(options);
  if (status.ok()) status = bench_model(options, name, report);
  if (status.ok() || status.interrupted()) return status;
  report_failure(report, name, static_cast<i32>(status.code()), status.text());
  return status.code() == Code::usage ? status : Status::error(status.code(), "");
}

// What children say goes on to stdout, and what belongs between the objects of a list.
struct Rows {
  bool json;
  i32 said = 0;          // of so many models
  bool waiting = false;  // for the first word of the next

  void separate() {
    if (waiting && json) print(said ? "," : "[");
    said += waiting;
    waiting = false;
  }
  static void pass_on(void* context, Text piece) {
    static_cast<Rows*>(context)->separate();
    print(piece);
  }
};

// The end of a child that said nothing: somebody or something else ended it.
void report_silence(Report report, const char* path, i32 code) {
  char buffer[96];
  Writer why(buffer);
  if (code > 128) {
    write(why, "signal ", code - 128, " ended it", code == 128 + 9 ? ", perhaps for want of memory" : "");
  } else {
    write(why, "it ended with exit code ", code);
  }
  report.fd = STDOUT;
  report_failure(report, path, code, buffer);
}

// Each in a child of its own. One that fails does not keep the others from being measured, and is the exit code.
Status bench_several(Options& options, Report report) {
  for (i32 i = 0; i < options.model_count; i++)
    report.name_columns = max(report.name_columns, Text(options.models[i]).size);
  Rows rows = {.json = options.json};
  Status failure;
  for (i32 i = 0; i < options.model_count && !interrupted() && check_output().ok(); i++) {
    const char* path = options.model = options.models[i];
    Process process;
    EDGELLM_TRY(fork_process(&process));
    if (process.pid == 0) {
      report.fd = process.pipe;
      return bench_in_child(options, report);
    }
    rows.waiting = true;
    const i32 code = wait_for_process(process, Rows::pass_on, &rows);
    if (code == 0) report.head = false;
    if (code == 0 || interrupted()) continue;
    if (rows.waiting) {
      rows.separate();
      report_silence(report, path, code);
    }
    if (failure.ok())
      failure = Status::error(code <= 3 ? static_cast<Code>(code) : Code::failed, "bench: ", path, " failed");
  }
  if (options.json) print(rows.said ? "]\n" : "[]\n");
  EDGELLM_TRY(check_interrupted());
  return failure;
}

}  // namespace

Status bench_command(Options& options) {
  if (!options.model) options.model = bundled_model();
  if (!options.model) return usage_error("bench: no bundled model found, give a model file");
  Report report = {.fd = STDOUT, .json = options.json, .machine = nullptr, .head = true, .name_columns = 5};
  if (options.model_count <= 1) return bench_model(options, options.model_count ? options.models[0] : options.model, report);
  const Machine machine = this_machine();
  report.machine = machine.name;
  return bench_several(options, report);
}

}  // namespace edgellm
