// Many texts at once on one engine: a queue of bounded length, and slots, each with a session. A pass of the model runs the next
// id of every text and, beside them, the next part of the prompts; a text joins and leaves between two passes. Its ids, and the
// bits they come from, do not depend on its company (engine/generation.h).
//
//   submit --> waiting --> its prompt is run --> its text is made --> ended
//
// A slot that is free keeps its session: a prompt that goes on from what was run there does not run it again.
#pragma once
#include "base/arena.h"
#include "engine/generation.h"
#include "engine/log_probabilities.h"
#include "server/metrics.h"

namespace edgellm {

struct Completion;

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

class Scheduler {
 public:
  // Takes memory beside that of an engine that is planned, and was or will be opened for `slots` sessions.
  void place(Arena& arena, Engine& engine, i32 queue);

  // How many more texts can be taken now.
  i32 room() const { return static_cast<i32>(completions_.count) - taken_; }

  // Fails unless the model can take a prompt of so many ids.
  Status check_prompt(i64 ids) const;

  // There is room, and the prompt was checked. The number of ids that will be made is cut to what the context holds.
  CompletionId submit(const CompletionRequest& request);

  // Nobody waits any more: its place is free, and its listener hears nothing.
  void cancel(CompletionId id);

  // One pass of the model, or nothing where nothing waits: false. A signal may have kept it from running.
  bool step();

  i32 slots() const { return static_cast<i32>(slots_.count); }
  i32 busy() const;     // slots
  i32 waiting() const;  // in the queue
  const Engine& engine() const { return *engine_; }
  // Of the row of logits behind the id that a listener is told of at this moment, if its request asks for them.
  const LogProbabilities& log_probabilities() const { return log_probabilities_; }
  // What this id prints, as Generation::bytes has it.
  Text bytes(i64* text_bytes) const { return telling_->bytes(text_bytes); }
  const ModelMetrics& metrics() const { return metrics_; }

 private:
  enum class Stage : u8 { unused, waiting, running };

  struct Place {  // of a text, from its arrival to its end
    Stage stage;
    u32 generation;
    i64 arrived;  // now_ns()
    u64 order;    // of arrival
    CompletionRequest request;
    Span<i32> prompt_room;
  };

  struct Slot {
    Session* session;
    Place* place;        // null: free
    Span<i32> timeline;  // ids that the session has run, as far as there is room
    i64 used;            // when it was seated last, in seats
    i64 run;             // ids of the prompt that were run
    i64 drawn;           // now_ns() of its last id
    Generation text;
    Completed completed;
  };

  Place* next_waiting();
  Slot* best_slot(const Place& place, i64* shared);
  i64 reusable(const Slot& slot, Span<const i32> prompt) const;
  void seat_waiting();
  void seat(Slot& slot, Place& place, i64 shared);
  void end_late();
  i64 collect_steps();
  bool reading(const Slot& slot) const { return slot.run < slot.place->request.prompt.count; }
  void tell_prompt(Slot& slot, i32 row);
  void after_step(Slot& slot, const Step& step, i32* row);
  void draw(Slot& slot, i32 row);
  void count_token(Slot& slot);
  void end(Slot& slot);
  void leave(Place& place);

  Engine* engine_ = nullptr;
  LogProbabilities log_probabilities_;
  const Generation* telling_ = nullptr;  // whose id a listener is told of
  ModelMetrics metrics_;
  Span<Place> completions_;
  Span<Slot> slots_;
  Span<Step> steps_;      // of the pass that is run
  Span<Slot*> stepping_;  // whose they are
  u64 arrivals_ = 0;
  i64 seats_ = 0;
  i32 taken_ = 0;
};

}  // namespace edgellm
