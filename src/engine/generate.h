// The loop that people see: ids in, text out, one token at a time.
#pragma once
#include "engine/engine.h"
#include "engine/sample.h"
#include "engine/stop.h"

namespace edgellm {

struct GenerateOptions {
  SamplingOptions sampling;
  i32 count = 32;  // ids to make at most
  StopStrings stop;
  StopIds stop_ids;              // end the text too, as the model's own do
  i32 end_id = -1;               // ends the text too, as the model's own stop ids do; -1: none
  bool ignore_stop_ids = false;  // for benchmarks
  bool hash = false;             // fill Generated::last_hash
  f64 pace = 0;                  // tokens per second, on absolute deadlines; 0: as fast as it goes
  f64 most_duty = 0;  // with a pace: computing for a larger share of the time is an error (REALTIME_DUTY); 0: is not
};

enum class Ending : u8 { length, stop_id, stop_string, interrupted, sink_closed };  // interrupted: platform/signals.h

struct Generated {
  i32 count = 0;
  Ending ending = Ending::length;
  i32 missed_deadlines = 0;  // with a pace
  i64 busy_ns = 0;           // with a pace: computing, not waiting
  u64 last_hash = 0;         // XXH64 of the last logits
  i64 prompt_ns = 0;         // until the first logits
  i64 decode_ns = 0;         // for the ids after the first
};

// Where text goes, piece by piece, always whole characters. False: nobody listens any more.
using TextSink = bool (*)(void* context, Text text);

// Runs `prompt` through the session, then makes up to `count` ids, each given to the sink as text (as " 12 34" where the model
// has no tokenizer). Afterwards the session holds the prompt and all ids made but the last, which is pending: the next call runs
// it first, so that stopping and going on is as if it had never stopped. `prompt` may be empty when an id is pending. When a signal
// came before the first id was made, the session holds as much of the prompt as was run.
Status generate(Engine& engine, Session& session, Span<const i32> prompt, GenerateOptions& options, TextSink sink,
                void* context, Generated* result);

}  // namespace edgellm
