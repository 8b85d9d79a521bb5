// What a model may answer: a finite automaton over ids that a file may bring along (docs/FILE.md, "Grammar"). An id that has no
// transition from the state at hand cannot be drawn, so a model for JSON gives JSON whatever it was asked.
#pragma once
#include "file/model_file.h"

namespace edgellm {

struct Transition {
  u32 id, next;
};

class Grammar {
 public:
  static constexpr i32 START = 0;

  // Checks all of it against `vocab`; a file without one leaves it empty, and then anything goes.
  Status open(const ModelFile& file, i32 vocab);

  i32 states() const { return static_cast<i32>(ends_.count); }
  Span<const Transition> from(i32 state) const;

  // -1: the grammar has no such transition.
  i32 after(i32 state, i32 id) const;

  // The logits (vocab) of all other ids become -infinity; `scratch` holds vocab values.
  void restrict(i32 state, f32* logits, i32 vocab, i32* scratch) const;

 private:
  Span<const u32> ends_;  // of each state's transitions
  const Transition* transitions_ = nullptr;
};

}  // namespace edgellm
