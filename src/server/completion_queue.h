// Texts from their arrival to their end, and which of those that wait gets the next free slot:
//
//   1. A text of higher priority goes before one of lower priority.
//   2. Of those with the same priority, the FITTING oldest are looked at. The one that shares most of its prompt with what
//      sessions hold goes first, so that it is not run again; of equal ones the one whose expected length (the number of ids
//      that it may have) is nearest, in powers of two, to that of the text seated before; of equal ones the oldest.
//   3. But the text that has waited longest, of any priority, is passed over at most PASSES times in a row. The next slot is its.
//
// So nothing waits for ever: a text with k older ones before it is seated as the (PASSES + 1) (k + 1)th at the latest.
#pragma once
#include "base/arena.h"
#include "server/completion.h"

namespace edgellm {

constexpr i32 PASSES = 7;
constexpr i32 FITTING = 8;

struct CompletionPlace {  // of a text
  enum class Stage : u8 { unused, waiting, running };

  Stage stage;
  u32 generation;
  i64 arrived;  // now_ns()
  u64 order;    // of arrival
  CompletionRequest request;
  Span<i32> prompt_room;  // (context)
};

class CompletionQueue {
 public:
  void place(Arena& arena, i32 places, i64 context);

  i32 room() const { return static_cast<i32>(places_.count) - taken_; }
  i32 taken() const { return taken_; }
  Span<CompletionPlace> places() const { return places_; }

  // There is room.
  CompletionPlace& add(const CompletionRequest& request, i64 now);

  CompletionId id(const CompletionPlace& place) const { return {static_cast<i32>(&place - places_.data), place.generation}; }
  CompletionPlace* find(CompletionId id) const;  // null: it has ended

  // The next text by the rule; null when none waits. `shared` tells how much of its prompt sessions hold.
  using Shared = i64 (*)(const void* context, Span<const i32> prompt);
  CompletionPlace* next(Shared shared, const void* context) const;

  // It gets a slot.
  void seat(CompletionPlace& place);

  void remove(CompletionPlace& place);

 private:
  CompletionPlace* oldest() const;
  i64 fitting(Span<CompletionPlace*> to) const;

  Span<CompletionPlace> places_;
  u64 arrivals_ = 0;
  i32 taken_ = 0;
  i32 passes_ = 0;      // of the oldest, in a row
  i32 last_count_ = 0;  // GenerateOptions::count of the text seated last
};

}  // namespace edgellm
