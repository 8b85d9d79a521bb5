// What takes long, and how far it has come, for whoever watches: the line that the program draws on a terminal
// (cli/progress.h). Stages follow one another and never lie in one another. Nobody watches in a host program, and then nothing
// is kept.
#pragma once
#include "base/types.h"

namespace edgellm {

enum class Unit : u8 {
  bytes,
  tokens,
  model_tokens,  // tokens too, which run_model counts and nobody else
};

struct Stage {
  const char* doing = nullptr;  // "reading the prompt"; null: nothing that takes long
  Unit unit = Unit::bytes;
  i64 done = 0, all = 0;
};

// Called when a stage begins, at each step of it, and with an empty one at its end; null: nobody watches.
void watch_stages(void (*watcher)(const Stage& stage));

void begin_stage(const char* doing, i64 all, Unit unit);

// Without effect when the stage at hand counts something else.
void advance_stage(i64 more, Unit unit);

// Without effect when there is none.
void end_stage();

}  // namespace edgellm
