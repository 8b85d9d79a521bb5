#include "server/completion_queue.h"

#include <assert.h>
#include <string.h>

namespace edgellm {

void CompletionQueue::place(Arena& arena, i32 places, i64 context) {
  places_ = {arena.take<CompletionPlace>(places), places};
  for (i64 i = 0; i < places; i++) {
    i32* room = arena.take<i32>(context);
    if (!arena.counting()) places_[i].prompt_room = {room, context};
  }
}

CompletionPlace& CompletionQueue::add(const CompletionRequest& request, i64 now) {
  assert(room() > 0 && request.prompt.count > 0);
  CompletionPlace* place = places_.data;
  while (place->stage != CompletionPlace::Stage::unused)
    place++;
  taken_++;
  place->stage = CompletionPlace::Stage::waiting;
  place->arrived = now;
  place->order = arrivals_++;
  place->request = request;
  i32* ids = place->prompt_room.data;
  memcpy(ids, request.prompt.data, static_cast<size_t>(request.prompt.count) * sizeof(i32));
  place->request.prompt = {ids, request.prompt.count};
  return *place;
}

CompletionPlace* CompletionQueue::find(CompletionId id) const {
  if (id.index < 0 || id.index >= places_.count) return nullptr;
  CompletionPlace& place = places_[id.index];
  return place.generation == id.generation && place.stage != CompletionPlace::Stage::unused ? &place : nullptr;
}

CompletionPlace* CompletionQueue::oldest() const {
  CompletionPlace* oldest = nullptr;
  for (CompletionPlace& place : places_) {
    if (place.stage == CompletionPlace::Stage::waiting && (!oldest || place.order < oldest->order)) oldest = &place;
  }
  return oldest;
}

// The oldest of the highest priority, in the order of their arrival; answers how many.
i64 CompletionQueue::fitting(Span<CompletionPlace*> to) const {
  i64 count = 0;
  for (CompletionPlace& place : places_) {
    if (place.stage != CompletionPlace::Stage::waiting) continue;
    const i32 priority = place.request.priority;
    if (count > 0 && priority < to[0]->request.priority) continue;
    if (count > 0 && priority > to[0]->request.priority) count = 0;
    i64 at = min(count, to.count - 1);
    if (count == to.count && place.order > to[at]->order) continue;
    for (; at > 0 && place.order < to[at - 1]->order; at--)
      to[at] = to[at - 1];
    to[at] = &place;
    count = min(count + 1, to.count);
  }
  return count;
}

static i32 powers_apart(i32 a, i32 b) {
  const i32 apart = __builtin_clz(static_cast<u32>(a) | 1) - __builtin_clz(static_cast<u32>(b) | 1);
  return apart < 0 ? -apart : apart;
}

CompletionPlace* CompletionQueue::next(Shared shared, const void* context) const {
  if (passes_ == PASSES) return oldest();
  CompletionPlace* places[FITTING];
  const i64 count = fitting({places, FITTING});
  CompletionPlace* best = count > 0 ? places[0] : nullptr;
  i64 most = -1;
  for (i64 i = 0; i < count && count > 1; i++) {
    const i64 ids = shared(context, places[i]->request.prompt);
    const i32 apart = powers_apart(places[i]->request.options.count, last_count_);
    if (ids < most || (ids == most && apart >= powers_apart(best->request.options.count, last_count_))) continue;
    best = places[i];
    most = ids;
  }
  return best;
}

void CompletionQueue::seat(CompletionPlace& place) {
  passes_ = &place == oldest() ? 0 : passes_ + 1;
  last_count_ = place.request.options.count;
  place.stage = CompletionPlace::Stage::running;
}

void CompletionQueue::remove(CompletionPlace& place) {
  place.stage = CompletionPlace::Stage::unused;
  place.generation++;
  taken_--;
}

}  // namespace edgellm
