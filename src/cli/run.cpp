// edgellm MODEL: goes on from a text.
#include "base/random.h"
#include "base/realtime.h"
#include "cli/command.h"

namespace edgellm {

namespace {

// Text to stdout, with a line feed at the end if it has none of its own.
struct Printed {
  char last = '\n';

  static bool sink(void* context, Text text) {
    static_cast<Printed*>(context)->last = text[text.size - 1];
    return print(text);
  }
};

void note_figures(const Generated& made, i64 prompt, u64 seed, const Options& options) {
  f64 decode_s = static_cast<f64>(made.decode_ns) / 1e9, prompt_s = static_cast<f64>(made.prompt_ns) / 1e9;
  note("\n", prompt, " tokens in, first out after ", Fixed{prompt_s * 1e3, 1}, " ms; ", made.count, " out");
  if (made.count > 1 && decode_s > 0) note(", ", Fixed{(made.count - 1) / decode_s, 1}, " tok/s");
  if (options.generate.sampling.temperature > 0) note("; seed ", seed);
  note("\n");
  if (options.generate.pace > 0) note("missed deadlines: ", made.missed_deadlines, " of ", max(made.count - 1, 0), "\n");
}

}  // namespace

Status run_command(Options& options) {
  Text text;
  EDGELLM_TRY(read_text(options, &text));
  options.engine.text_bytes = text.size + 16;
  if (options.realtime) {
    EDGELLM_TRY(start_realtime());
    options.generate.most_duty = REALTIME_DUTY;
  }
  Engine engine;
  EDGELLM_TRY(open_for(options, &engine));
  SamplingOptions& sampling = options.generate.sampling;
  if (!options.seed_given) sampling.seed = draw_seed();
  EDGELLM_TRY(seal_for(options, 0));

  Span<const i32> prompt;
  EDGELLM_TRY(prompt_ids(engine, text, &prompt));
  Printed printed;
  Generated made;
  options.generate.hash = options.hash;
  Status status = generate(engine, engine.sessions[0], prompt, options.generate, Printed::sink, &printed, &made);
  if (printed.last != '\n') print("\n");
  if (!status.ok()) return status;
  note_figures(made, prompt.count, sampling.seed, options);
  if (options.hash) note_hash(made.last_hash);
  return made.ending == Ending::sink_closed ? failed("standard output was closed") : Status();
}

}  // namespace edgellm
