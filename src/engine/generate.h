// The loop that people see: ids in, text out, one token at a time.
#pragma once
#include "engine/generation.h"

namespace edgellm {

struct Generated {
  i32 count = 0;
  Ending ending = Ending::length;
  i32 missed_deadlines = 0;  // with a pace
  i64 busy_ns = 0;           // with a pace: computing, not waiting
  u64 last_hash = 0;         // XXH64 of the last logits
  i64 prompt_ns = 0;         // until the first logits
  i64 decode_ns = 0;         // for the ids after the first
};

// Runs `prompt` through the session, then makes up to `count` ids, each given to the sink as text (as " 12 34" where the model
// has no tokenizer). Afterwards the session holds the prompt and all ids made but the last, which is pending: the next call runs
// it first, so that stopping and going on is as if it had never stopped. `prompt` may be empty when an id is pending. When a signal
// came before the first id was made, the session holds as much of the prompt as was run.
Status generate(Engine& engine, Session& session, Span<const i32> prompt, const GenerateOptions& options, TextSink sink,
                void* context, Generated* result);

}  // namespace edgellm
