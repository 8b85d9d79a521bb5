#include "engine/grammar.h"

#include <string.h>

#include "base/math.h"

namespace edgellm {

Status Grammar::open(const ModelFile& file, i32 vocab) {
  Span<const u32> numbers;
  EDGELLM_TRY(file.numbers_or_none("grammar", &numbers));
  *this = {};
  if (numbers.count == 0) return {};
  u32 states = numbers[0];
  if (states == 0 || states >= numbers.count) {
    return bad_model("grammar: ", states, " states in ", numbers.count, " numbers");
  }
  ends_ = numbers.slice(1, states);
  transitions_ = reinterpret_cast<const Transition*>(ends_.data + states);
  i64 all = numbers.count - 1 - states, begin = 0;
  for (i64 s = 0; s < states; s++) {
    i64 end = 2 * i64{ends_[s]};
    if (end <= begin || end > all || (s == states - 1 && end < all)) {
      return bad_model("grammar: state ", s, " has numbers ", begin, " to ", end, " of ", all);
    }
    begin = end;
    Span<const Transition> some = from(static_cast<i32>(s));
    for (i64 i = 0; i < some.count; i++) {
      bool ascends = i == 0 || some[i - 1].id < some[i].id;
      if (ascends && some[i].id < static_cast<u32>(vocab) && some[i].next < states) continue;
      return bad_model("grammar: state ", s, ": id ", some[i].id, " to state ", some[i].next,
                       "; expected ascending ids below ", vocab, ", states below ", states);
    }
  }
  return {};
}

Span<const Transition> Grammar::from(i32 state) const {
  i64 begin = state ? ends_[state - 1] : 0;
  return {transitions_ + begin, ends_[state] - begin};
}

i32 Grammar::after(i32 state, i32 id) const {
  if (states() == 0) return START;
  for (const Transition& transition : from(state)) {
    if (transition.id == static_cast<u32>(id)) return static_cast<i32>(transition.next);
  }
  return -1;
}

void Grammar::restrict(i32 state, f32* logits, i32 vocab, i32* scratch) const {
  if (states() == 0) return;
  Span<const Transition> allowed = from(state);
  for (i64 i = 0; i < allowed.count; i++)
    memcpy(&scratch[i], &logits[allowed[i].id], sizeof(f32));
  for (i32 id = 0; id < vocab; id++)
    logits[id] = -INFINITY_F32;
  for (i64 i = 0; i < allowed.count; i++)
    memcpy(&logits[allowed[i].id], &scratch[i], sizeof(f32));
}

}  // namespace edgellm
