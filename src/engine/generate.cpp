#include "engine/generate.h"

#include "platform/clock.h"
#include "platform/signals.h"
#include "platform/stage.h"

namespace edgellm {

namespace {

// Ids to text to stop strings to the caller.
struct Printer {
  const Engine& engine;
  StopStrings& stop;
  TextSink sink;
  void* context;
  Decoder decoder;
  bool open = true;      // the sink still listens
  bool stopped = false;  // a stop string was seen

  static void give(void* self, Text text) {
    Printer& printer = *static_cast<Printer*>(self);
    if (printer.open && text.size) printer.open = printer.sink(printer.context, text);
  }
  void text(Text piece) {
    if (!stopped) stopped = stop.push(piece, give, this);
  }
  void drain() {
    for (Text piece; (piece = decoder.take()).size != 0;)
      text(piece);
  }
  void id(i32 token) {
    if (engine.has_tokenizer) {
      decoder.push(token);
      drain();
    } else {
      char buffer[16];
      Writer writer(buffer);
      text(write(writer, " ", token).text());
    }
  }
  void finish() {
    if (engine.has_tokenizer && !stopped) {
      decoder.finish();
      drain();
    }
    if (!stopped) stop.finish(give, this);
  }
};

// Waits for the deadline of a token that took `busy` ns to compute.
Status keep_pace(const GenerateOptions& options, i64 busy, i64 deadline, i64 period, Generated* result) {
  result->busy_ns += busy;
  if (now_ns() > deadline) {
    result->missed_deadlines++;
  } else {
    sleep_until_ns(deadline);
  }
  constexpr i32 SETTLED = 16;  // tokens after which the duty is judged
  f64 duty = static_cast<f64>(result->busy_ns) / (static_cast<f64>(period) * result->count);
  if (options.most_duty == 0 || result->count < SETTLED || duty <= options.most_duty) return {};
  return failed("the pace needs ", Fixed{duty * 100, 0}, " % of the time for computing, at most ",
                Fixed{options.most_duty * 100, 0}, " % may be used; take a lower --pace");
}

// Runs ids, after which none is pending. A signal is an ending and no error.
Status run(Engine& engine, Session& session, Span<const i32> ids, Wanted wanted, Generated* result) {
  Step step = {&session, ids, wanted};
  if (ids.count > 1) begin_stage("reading the prompt", ids.count, Unit::model_tokens);
  Status status = forward(engine, {&step, 1});
  end_stage();
  if (status.ok()) session.pending = -1;
  if (!status.interrupted()) return status;
  result->ending = Ending::interrupted;
  return {};
}

}  // namespace

Status generate(Engine& engine, Session& session, Span<const i32> prompt, GenerateOptions& options, TextSink sink,
                void* context, Generated* result) {
  Printer printer = {.engine = engine, .stop = options.stop, .sink = sink, .context = context, .decoder = {}};
  bool continues = session.position > 0 || prompt.count > 1 || prompt[0] != engine.bos;
  if (engine.has_tokenizer) printer.decoder = Decoder(engine.tokenizer, {.specials = false, .continues = continues});
  *result = {};
  options.stop.reset();
  i64 start = now_ns(), first = start, woken = start;
  i64 period = options.pace > 0 ? static_cast<i64>(1e9 / options.pace) : 0;
  i32 id = session.pending;
  Span<const i32> next = prompt;
  if (id >= 0 && prompt.count == 0) next = {&id, 1};
  if (id >= 0 && prompt.count > 0) EDGELLM_TRY(run(engine, session, {&id, 1}, Wanted::nothing, result));
  while (result->count < options.count && result->ending == Ending::length) {
    EDGELLM_TRY(run(engine, session, next, Wanted::last, result));
    if (result->ending != Ending::length) break;
    if (options.hash) result->last_hash = logits_hash(engine, 0);
    EDGELLM_TRY(draw_id(engine, session, 0, options.sampling, &id));
    i64 now = now_ns();
    if (result->count == 0) {
      first = now;
      result->prompt_ns = now - start;
    } else if (period) {
      EDGELLM_TRY(keep_pace(options, now - woken, first + result->count * period, period, result));
    }
    result->count++;
    woken = now_ns();
    result->decode_ns = woken - first;
    if (id == options.end_id || options.stop_ids.has(id) || (!options.ignore_stop_ids && is_stop(engine, id))) {
      result->ending = Ending::stop_id;
      break;
    }
    printer.id(id);
    if (printer.stopped) result->ending = Ending::stop_string;
    if (!printer.open) result->ending = Ending::sink_closed;
    if (interrupted()) result->ending = Ending::interrupted;
    next = {&id, 1};
  }
  printer.finish();
  return {};
}

}  // namespace edgellm
