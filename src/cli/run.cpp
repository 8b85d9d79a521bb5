// edgellm MODEL: goes on from a text.
#include "cli/command.h"
#include "platform/realtime.h"
#include "platform/seed.h"

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

// How many ids follow the prompt. What -n asks for is made or is an error; otherwise it is what the context has room for, which a
// note then tells.
i32 count_to_make(const Options& options, const Engine& engine, Span<const i32> prompt) {
  const Session& session = engine.sessions[0];
  const i32 count = tokens_to_make(options, engine, options.generate.count);
  if (options.count_given || endless(engine)) return count;
  const i64 positions = session.position + (session.pending >= 0) + prompt.count;
  return static_cast<i32>(max<i64>(1, min<i64>(count, engine.limits.context - positions + 1)));  // the last is not run
}

}  // namespace

Status run_command(Options& options) {
  EDGELLM_TRY(check_outputs(options));
  Text text;
  EDGELLM_TRY(read_text(options, &text));
  options.engine.text_bytes = text.size + 16;
  if (options.realtime) {
    EDGELLM_TRY(start_realtime());
    options.generate.most_duty = REALTIME_DUTY;
  }
  Engine engine;
  EDGELLM_TRY(open_model(options, &engine));
  EDGELLM_TRY(settle_stops(options, engine));
  SamplingOptions& sampling = options.generate.sampling;
  if (!options.seed_given) sampling.seed = draw_seed();
  StateOutput state;
  EDGELLM_TRY(open_states(options, engine, &state));
  EDGELLM_TRY(seal_as_asked(options));

  Session& session = engine.sessions[0];
  Span<const i32> prompt;
  const EncodeOptions how = {.add_bos = session.position == 0, .parse_special = options.special};
  if (session.position == 0 || text.size) EDGELLM_TRY(prompt_ids(engine, text, how, &prompt));
  if (prompt.count == 0 && session.pending < 0) {
    return failed("--state-load ", options.state_load, ": no id waits to be run in it; say with -i how the text goes on");
  }
  ZeroCodes* zeros = options.verbose ? engine.model.zero_codes : nullptr;
  if (zeros) zeros->counting = true;
  options.generate.count = count_to_make(options, engine, prompt);
  Printed printed;
  Generated made;
  i32 before = session.position;
  Status status = generate(engine, session, prompt, options.generate, Printed::sink, &printed, &made);
  if (printed.last != '\n') print("\n");
  const bool full = !check_room(engine, i64{session.position} + 1).ok();  // an error that loses nothing
  if (!status.ok() && !full) return status;
  if (check_output().ok()) {
    note_figures(made, made.count ? prompt.count : session.position - before, options);
    if (zeros) note("zeros: ", Fixed{zeros->percent(), 1}, " % of the squared ReLUs' codes\n");
    if (options.generate.hash && made.count) note_hash(made.last_hash);
  }
  if (made.ending == Ending::interrupted && made.count == 0) {
    if (options.state_save)
      note("note: the prompt was not read to its end; nothing was saved to ", options.state_save, "\n");
    return status;
  }
  if (Status end = end_of_text(options, engine, session, made); !end.ok()) status = end;
  EDGELLM_TRY(keep_state(options, engine, state));
  return status;
}

}  // namespace edgellm
