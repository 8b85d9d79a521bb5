// edgellm MODEL: goes on from a text.
#include "base/random.h"
#include "base/realtime.h"
#include "base/seal.h"
#include "cli/command.h"
#include "engine/state.h"

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

// The session's state from one file and to another (or the same), both opened before the seal.
struct Saved {
  StateFile from, to;
  Span<u8> buffer;
};

Status open_saved(const Options& options, Engine& engine, Saved* saved) {
  if (!options.state_load && !options.state_save) return {};
  EDGELLM_TRY(take_memory(state_image_bytes(engine), {}, &saved->buffer));
  if (options.state_load) {
    EDGELLM_TRY(open_state_file(options.state_load, false, &saved->from));
    EDGELLM_TRY(load_state_file(engine, saved->from, saved->buffer.data, &engine.sessions[0]));
  }
  return options.state_save ? open_state_file(options.state_save, true, &saved->to) : Status();
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
  Saved saved;
  EDGELLM_TRY(open_saved(options, engine, &saved));
  EDGELLM_TRY(seal_for(options, options.state_save ? u32{SEAL_FILES} : 0));

  Session& session = engine.sessions[0];
  Span<const i32> prompt;
  if (session.position == 0 || text.size) EDGELLM_TRY(prompt_ids(engine, text, session.position == 0, &prompt));
  if (prompt.count == 0 && session.pending < 0) {
    return failed("--state-load ", options.state_load, ": no id waits to be run in it; say with -i how the text goes on");
  }
  Printed printed;
  Generated made;
  options.generate.hash = options.hash;
  Status status = generate(engine, session, prompt, options.generate, Printed::sink, &printed, &made);
  if (printed.last != '\n') print("\n");
  if (!status.ok()) return status;
  note_figures(made, prompt.count, sampling.seed, options);
  if (options.hash) note_hash(made.last_hash);
  if (options.state_save) EDGELLM_TRY(save_state_file(engine, session, saved.buffer.data, saved.to));
  return made.ending == Ending::sink_closed ? failed("standard output was closed") : Status();
}

}  // namespace edgellm
