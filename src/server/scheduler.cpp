#include "server/scheduler.h"

#include <assert.h>
#include <string.h>

#include "platform/clock.h"

namespace edgellm {

// Ids of prompts beside texts that are being made, so that these do not wait long for a pass.
constexpr i64 PROMPT_IDS_IN_COMPANY = 8;

void Scheduler::place(Arena& arena, Engine& engine, i32 queue) {
  engine_ = &engine;
  const i32 slots = engine.limits.logits;
  const i64 context = engine.limits.context;
  log_probabilities_.place(arena, engine.model.vocab);
  completions_ = {arena.take<Place>(slots + queue), slots + queue};
  slots_ = {arena.take<Slot>(slots), slots};
  steps_ = {arena.take<Step>(slots), slots};
  stepping_ = {arena.take<Slot*>(slots), slots};
  for (i64 i = 0; i < completions_.count; i++) {
    i32* room = arena.take<i32>(context);
    if (!arena.counting()) completions_[i].prompt_room = {room, context};
  }
  for (i64 i = 0; i < slots_.count; i++) {
    i32* timeline = arena.take<i32>(context);
    if (arena.counting()) continue;
    slots_[i] = {};
    slots_[i].session = &engine.sessions[i];
    slots_[i].timeline = {timeline, context};
  }
}

i32 Scheduler::busy() const {
  i32 count = 0;
  for (const Slot& slot : slots_)
    count += slot.place != nullptr;
  return count;
}

i32 Scheduler::waiting() const {
  return taken_ - busy();
}

Status Scheduler::check_prompt(i64 ids) const {
  const i64 context = engine_->limits.context;
  if (ids <= context) return {};
  return failed("the prompt has ", ids, " tokens, the context is of ", context);
}

CompletionId Scheduler::submit(const CompletionRequest& request) {
  assert(room() > 0 && request.prompt.count > 0);
  Place* place = completions_.data;
  while (place->stage != Stage::unused)
    place++;
  taken_++;
  place->stage = Stage::waiting;
  place->arrived = now_ns();
  place->order = arrivals_++;
  place->request = request;
  i32* ids = place->prompt_room.data;
  memcpy(ids, request.prompt.data, static_cast<size_t>(request.prompt.count) * sizeof(i32));
  place->request.prompt = {ids, request.prompt.count};
  if (!endless(*engine_)) {
    const i64 most = engine_->limits.context - request.prompt.count + 1;  // the last is not run
    place->request.options.count = static_cast<i32>(min<i64>(request.options.count, most));
  }
  return {static_cast<i32>(place - completions_.data), place->generation};
}

void Scheduler::cancel(CompletionId id) {
  if (id.index < 0 || id.index >= completions_.count) return;
  Place& place = completions_[id.index];
  if (place.generation != id.generation || place.stage == Stage::unused) return;
  for (Slot& slot : slots_) {
    if (slot.place == &place) slot.place = nullptr;
  }
  leave(place);
}

void Scheduler::leave(Place& place) {
  place.stage = Stage::unused;
  place.generation++;
  taken_--;
}

Scheduler::Place* Scheduler::next_waiting() {
  Place* next = nullptr;
  for (Place& place : completions_) {
    if (place.stage != Stage::waiting) continue;
    const i32 more = next ? place.request.priority - next->request.priority : 1;
    if (more > 0 || (more == 0 && place.order < next->order)) next = &place;
  }
  return next;
}

// How many ids of the prompt need not be run in this slot: at most all but the last, whose logits are wanted.
i64 Scheduler::reusable(const Slot& slot, Span<const i32> prompt) const {
  const i64 run = slot.session->position, most = min(prompt.count - 1, run);
  if (run > slot.timeline.count) return 0;
  i64 shared = 0;
  while (shared < most && slot.timeline[shared] == prompt[shared])
    shared++;
  // A cache with a place for every position can be entered at any; another state stands behind all that was run.
  const bool rewinds = engine_->model.recurrent_bytes == 0 && engine_->limits.window == 0;
  return rewinds || shared == run ? shared : 0;
}

// The free slot that spares most; of equal ones that which was not used for the longest time.
Scheduler::Slot* Scheduler::best_slot(const Place& place, i64* shared) {
  Slot* best = nullptr;
  for (Slot& slot : slots_) {
    if (slot.place) continue;
    const i64 spared = place.request.prompt_log_probabilities ? 0 : reusable(slot, place.request.prompt);
    if (best && (spared < *shared || (spared == *shared && slot.used > best->used))) continue;
    best = &slot;
    *shared = spared;
  }
  return best;
}

void Scheduler::seat_waiting() {
  i64 shared = 0;
  for (Place* place; (place = next_waiting()) != nullptr;) {
    Slot* slot = best_slot(*place, &shared);
    if (!slot) return;
    seat(*slot, *place, shared);
  }
}

void Scheduler::seat(Slot& slot, Place& place, i64 shared) {
  const CompletionRequest& request = place.request;
  Session& session = *slot.session;
  session.restart();
  session.position = static_cast<i32>(shared);
  for (i64 i = max<i64>(0, shared - REPEAT_SPAN); i < shared; i++)
    session.remember(request.prompt[i]);
  place.stage = Stage::running;
  slot.place = &place;
  slot.used = ++seats_;
  slot.run = shared;
  slot.completed = {};
  slot.completed.slot = static_cast<i32>(&slot - slots_.data);
  slot.completed.prompt = static_cast<i32>(request.prompt.count);
  slot.completed.cached = static_cast<i32>(shared);
  metrics_.prompt_tokens += static_cast<u64>(request.prompt.count);
  metrics_.cached_tokens += static_cast<u64>(shared);
  slot.text = Generation(*engine_, session, request.prompt.slice(shared, request.prompt.count - shared), request.options,
                         request.listener->text, request.context);
}

// Texts whose deadline came, in a slot or not.
void Scheduler::end_late() {
  const i64 now = now_ns();
  for (Place& place : completions_) {
    if (place.stage != Stage::waiting || now < place.request.deadline) continue;
    metrics_.deadline_misses++;
    Completed completed;
    completed.prompt = static_cast<i32>(place.request.prompt.count);
    completed.whole_ns = now - place.arrived;
    completed.timed_out = true;
    const CompletionRequest request = place.request;
    leave(place);
    request.listener->ended(request.context, completed);
  }
  for (Slot& slot : slots_) {
    if (!slot.place || now < slot.place->request.deadline) continue;
    metrics_.deadline_misses++;
    slot.completed.timed_out = true;
    end(slot);
  }
}

// The next id of each text, then as many of the prompts as there is room for. Answers how many steps there are.
i64 Scheduler::collect_steps() {
  i64 steps = 0;
  for (Slot& slot : slots_) {
    if (!slot.place || reading(slot)) continue;
    stepping_[steps] = &slot;
    steps_[steps++] = {slot.session, {&slot.text.id, 1}, Wanted::last};
  }
  i64 room = engine_->limits.tokens - steps;
  if (steps > 0) room = min(room, max(PROMPT_IDS_IN_COMPANY, steps));
  for (Slot& slot : slots_) {
    if (room == 0 || !slot.place || !reading(slot)) continue;
    const Span<const i32> prompt = slot.place->request.prompt;
    const bool each = slot.place->request.prompt_log_probabilities;
    const i64 left = prompt.count - slot.run, n = each ? 1 : min(left, room);
    stepping_[steps] = &slot;
    steps_[steps++] = {slot.session, prompt.slice(slot.run, n), each || n == left ? Wanted::last : Wanted::nothing};
    room -= n;
  }
  return steps;
}

bool Scheduler::step() {
  end_late();
  seat_waiting();
  const i64 count = collect_steps();
  if (count == 0) return false;
  const Status status = forward(*engine_, steps_.slice(0, count));
  if (status.interrupted()) return true;
  i32 row = 0;
  for (i64 i = 0; i < count; i++) {
    Slot& slot = *stepping_[i];
    if (status.ok()) {
      after_step(slot, steps_[i], &row);
      continue;
    }
    slot.session->restart();  // what it holds now is not known
    if (!slot.place) continue;
    slot.completed.status = status;
    end(slot);
  }
  return true;
}

// The ids of a step were run. Nobody may wait for them any more: whoever heard of another text's end may have cancelled this one.
void Scheduler::after_step(Slot& slot, const Step& step, i32* row) {
  Session& session = *slot.session;
  for (i64 i = 0, at = session.position - step.ids.count; i < step.ids.count && at + i < slot.timeline.count; i++)
    slot.timeline[at + i] = step.ids[i];
  session.pending = -1;
  if (slot.place && reading(slot)) slot.run += step.ids.count;
  if (step.wanted != Wanted::last) return;
  if (slot.place) reading(slot) ? tell_prompt(slot, *row) : draw(slot, *row);
  ++*row;
}

// What the prompt goes on with.
void Scheduler::tell_prompt(Slot& slot, i32 row) {
  const CompletionRequest& request = slot.place->request;
  log_probabilities_.read(engine_->kernels, logits_row(*engine_, row), max(0, request.top_log_probabilities));
  request.listener->prompt(request.context, slot.run);
}

void Scheduler::count_token(Slot& slot) {
  const i64 now = now_ns();
  if (slot.text.count == 0) {
    slot.completed.first_ns = now - slot.place->arrived;
    metrics_.first_token.add(slot.completed.first_ns);
  } else {
    metrics_.between_tokens.add(now - slot.drawn);
  }
  slot.drawn = now;
  if (metrics_.samples_next()) {
    metrics_.sampled_tokens++;
    metrics_.negative_log_probability -= static_cast<f64>(log_probabilities_.of(slot.text.id));
  }
  metrics_.tokens++;
}

void Scheduler::draw(Slot& slot, i32 row) {
  const CompletionRequest& request = slot.place->request;
  if (slot.text.over()) return end(slot);  // no id was wanted
  const i32 tops = request.top_log_probabilities;
  if (tops >= 0 || metrics_.samples_next())
    log_probabilities_.read(engine_->kernels, logits_row(*engine_, row), max(0, tops));
  slot.completed.status = slot.text.draw(row);
  if (!slot.completed.status.ok()) return end(slot);
  count_token(slot);
  telling_ = &slot.text;
  if (request.listener->id && !slot.text.ends_text()) request.listener->id(request.context, slot.text.id);
  slot.text.say();
  if (slot.text.over()) end(slot);
}

// The slot is free before the listener hears of it.
void Scheduler::end(Slot& slot) {
  Place& place = *slot.place;
  slot.text.finish();
  slot.completed.ending = slot.text.ending;
  metrics_.repetition_stops += slot.text.ending == Ending::repetition;
  slot.completed.made = slot.text.count;
  slot.completed.whole_ns = now_ns() - place.arrived;
  const CompletionRequest request = place.request;
  slot.place = nullptr;
  leave(place);
  request.listener->ended(request.context, slot.completed);
}

}  // namespace edgellm
