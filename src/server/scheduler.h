// Many texts at once on one engine: a queue of bounded length (completion_queue.h), and slots, each with a session
// (session_pool.h). A pass of the model runs the next id of every text and, beside them, the next parts of the prompts
// (prompt_share.h); a text joins and leaves between two passes. Its ids, and the bits they come from, do not depend on its company
// (engine/generation.h), nor on what of its prompt was run before.
//
//   submit --> waiting --> its prompt is run --> its text is made --> ended
//
// Of several prompts, the one that came first has half of the ids of a pass, and the other half goes to those with the fewest
// ids left; what one does not need the others get. So a short prompt is soon read beside a long one, and a long one with
// L ids of prompts before it when 2 (L + its own) were run, however many short ones come.
//
// A prompt that begins as one that is just being read waits for it, and takes over what both have: the choices of one request,
// or conversations with the same words of the system.
#pragma once
#include "engine/log_probabilities.h"
#include "server/completion_queue.h"
#include "server/metrics.h"
#include "server/prompt_share.h"
#include "server/session_pool.h"

namespace edgellm {

class Scheduler {
 public:
  // Takes memory beside that of an engine that is planned, and was or will be opened for as many sessions as rows of logits.
  void place(Arena& arena, Engine& engine, i32 queue);

  // How many more texts can be taken now.
  i32 room() const { return queue_.room(); }

  // Fails unless the model can take a prompt of these ids.
  Status check_prompt(Span<const i32> ids) const;

  // There is room, and the prompt was checked. The number of ids that will be made is cut to what the context holds.
  CompletionId submit(CompletionRequest request);

  // Nobody waits any more: its place is free, and its listener hears nothing. At any time, also while a listener is told something.
  // False: it had ended.
  bool cancel(CompletionId id);

  // One pass of the model, or nothing where nothing waits: false. A signal may have kept it from running.
  bool step();

  i32 slots() const { return sessions_.count(); }
  i32 busy() const { return sessions_.count() - sessions_.free(); }  // slots
  i32 waiting() const { return queue_.taken() - busy(); }            // in the queue
  const Engine& engine() const { return *engine_; }
  // Of the row of logits behind the id that a listener is told of at this moment, if its request asks for them.
  const LogProbabilities& log_probabilities() const { return log_probabilities_; }
  // What this id prints, as Generation::bytes has it.
  Text bytes(i64* text_bytes, bool* inside) const { return telling_->bytes(text_bytes, inside); }
  const ModelMetrics& metrics() const { return metrics_; }

 private:
  struct Slot {              // of the session of the same index
    CompletionPlace* place;  // null: free
    i64 run;                 // ids of the prompt that were run
    i64 most, share;         // ids of the prompt that may be, and will be, in the pass that is composed
    i32 leader;              // slot whose prompt begins like this one, and is waited for; -1: none
    u64 leader_order;        // its text
    i64 leader_ids;          // that both have
    i64 drawn;               // now_ns() of its last id
    Generation text;
    Completed completed;
  };

  static bool tell(void* slot, Text text);
  i32 index(const Slot& slot) const { return static_cast<i32>(&slot - slots_.data); }
  Session& session(const Slot& slot) const { return sessions_.session(index(slot)); }
  Slot* slot_of(const CompletionPlace& place);
  void seat_waiting();
  void seat(CompletionPlace& place);
  void find_leader(Slot& slot);
  bool follows(Slot& slot);
  void end_late();

  bool reading(const Slot& slot) const { return slot.place && slot.run < slot.place->request.prompt.count; }
  i64 collect_readers(Slot** first);
  static void give(Slot& slot, i64 ids, i64* room);
  void share_out(i64 room);
  i64 collect_steps(i64* texts);
  void after_step(Slot& slot, const Step& step, i32* row);
  void tell_prompt(Slot& slot, i32 row);
  void draw(Slot& slot, i32 row);
  void count_token(Slot& slot);
  void end(Slot& slot);
  void leave(Slot& slot);

  Engine* engine_ = nullptr;
  CompletionQueue queue_;
  SessionPool sessions_;
  PromptShare prompt_share_;
  LogProbabilities log_probabilities_;
  const Generation* telling_ = nullptr;  // whose id a listener is told of
  ModelMetrics metrics_;
  Span<Slot> slots_;
  Span<Slot*> readers_;   // whose prompts have ids in the pass that is composed
  Span<Step> steps_;      // of this pass
  Span<Slot*> stepping_;  // whose they are
};

}  // namespace edgellm
