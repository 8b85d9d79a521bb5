#include "engine/generate.h"

#include "base/clock.h"
#include "base/signals.h"

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

  static void forward_text(void* self, Text text) {
    Printer& printer = *static_cast<Printer*>(self);
    if (printer.open && text.size) printer.open = printer.sink(printer.context, text);
  }
  void text(Text piece) {
    if (!stopped) stopped = stop.push(piece, forward_text, this);
  }
  void drain() {
    for (Text piece; (piece = decoder.take()).size != 0;) text(piece);
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
    if (!stopped) stop.finish(forward_text, this);
  }
};

}  // namespace

Status generate(Engine& engine, Session& session, Span<const i32> prompt, GenerateOptions& options, TextSink sink, void* context,
                Generated* result) {
  Printer printer = {.engine = engine, .stop = options.stop, .sink = sink, .context = context, .decoder = {}};
  if (engine.has_tokenizer) printer.decoder = Decoder(engine.tokenizer, {.specials = false, .continues = true});
  *result = {};
  i64 start = now_ns(), first = start;
  i64 period = options.pace > 0 ? static_cast<i64>(1e9 / options.pace) : 0;
  i32 id = 0;
  Span<const i32> next = prompt;
  while (result->count < options.count) {
    Step step = {&session, next, Wanted::last};
    EDGELLM_TRY(forward(engine, {&step, 1}));
    id = sample(engine.kernels, logits_row(engine, 0), engine.model.vocab, options.sampling,
                {session.recent, session.recent_count}, session.position, engine.order);
    if (id < 0) return failed("every logit at position ", session.position - 1, " is not a number");
    i64 now = now_ns();
    if (result->count == 0) {
      first = now;
      result->prompt_ns = now - start;
    } else if (period) {
      i64 deadline = first + result->count * period;
      if (now > deadline) {
        result->missed_deadlines++;
      } else {
        sleep_until_ns(deadline);
      }
    }
    result->count++;
    result->decode_ns = now_ns() - first;
    if (!options.ignore_stop_ids && is_stop(engine, id)) {
      result->ending = Ending::stop_id;
      break;
    }
    printer.id(id);
    if (printer.stopped) result->ending = Ending::stop_string;
    if (!printer.open) result->ending = Ending::sink_closed;
    if (interrupted()) result->ending = Ending::interrupted;
    if (result->ending != Ending::length) break;
    next = {&id, 1};
  }
  printer.finish();
  return {};
}

}  // namespace edgellm
