// A text that somebody asked for: what it shall be, who is told of it, and what became of it.
#pragma once
#include "engine/generation.h"

namespace edgellm {

// What became of a text.
struct Completed {
  Status status;  // not ok: computing failed
  Ending ending = Ending::length;
  i32 prompt = 0;          // ids of the prompt
  i32 cached = 0;          // of these, that were not run again
  i32 made = 0;            // ids
  i32 slot = -1;           // that made them; -1: none did
  i64 first_ns = 0;        // from its arrival to the first id
  i64 whole_ns = 0;        // to the end
  bool timed_out = false;  // its deadline came: there is what there was
};

// Who waits for a text. In the order of time: an id, then what can be printed since, and so on; then that it ended.
struct CompletionListener {
  void (*id)(void* context, i32 id);       // null: does not matter. Ids that end a text are not told
  bool (*text)(void* context, Text text);  // whole characters; false: nobody listens any more
  void (*ended)(void* context, const Completed& completed);
  // Where the request asks for it: the id of the prompt at `index`, not the first, of which log_probabilities() tells now.
  void (*prompt)(void* context, i64 index) = nullptr;
};

struct CompletionRequest {
  Span<const i32> prompt;    // at least one id, at most the scheduler's context; copied
  GenerateOptions options;   // the bytes of its stop strings stay until it ended
  i32 priority = 0;          // the higher goes first
  i64 deadline = INT64_MAX;  // of now_ns(): the text ends with what there is
  // -1: its listener asks for no log probabilities; otherwise how many of the most probable ids it wants beside its own
  i32 top_log_probabilities = -1;
  bool prompt_log_probabilities = false;  // its ids are run one by one, none of them from before
  const CompletionListener* listener = nullptr;
  void* context = nullptr;
};

struct CompletionId {
  i32 index = -1;
  u32 generation = 0;
};

}  // namespace edgellm
