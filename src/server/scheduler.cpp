#include "server/scheduler.h"

#include <assert.h>

#include "platform/clock.h"

namespace edgellm {

// Ids that two prompts have in common, for which one waits for the other.
constexpr i64 WORTH_WAITING = 16;

void Scheduler::place(Arena& arena, Engine& engine, i32 queue) {
  engine_ = &engine;
  const i32 slots = engine.limits.logits;
  queue_.place(arena, slots + queue, engine.limits.context);
  sessions_.place(arena, engine, slots);
  slots_ = {arena.take<Slot>(slots), slots};
  readers_ = {arena.take<Slot*>(slots), slots};
  steps_ = {arena.take<Step>(slots), slots};
  stepping_ = {arena.take<Slot*>(slots), slots};
  for (i32 i = 0; i < slots && !arena.counting(); i++)
    slots_[i] = {};
  log_probabilities_.place(arena, engine.model.vocab);
}

Status Scheduler::check_prompt(Span<const i32> ids) const {
  const i32 context = engine_->limits.context;
  if (ids.count <= context) return check_ids(*engine_, ids);
  // Past what the model was made for a window goes on, of prompts too; --ctx bounds these all the same.
  const i32 limit = engine_->context_limit, most = limit ? limit : engine_->model.context;
  char words[128];
  Writer way(words);
  if (!endless(*engine_) && ids.count > most) {
    const i32 window = limit ? min(context, limit - SINKS) : context;
    write(way, "--window ", window, " --ctx ", ids.count, ", which sees the last ", window, " of them");
  } else {
    write(way, "--ctx ", ids.count, " or more");
    if (!endless(*engine_)) write(way, ", up to ", most);
  }
  return failed("the prompt has ", ids.count, " tokens, the context is of ", context,
                ": shorten it, or start the server with ", way.text());
}

CompletionId Scheduler::submit(CompletionRequest request) {
  if (!endless(*engine_)) {
    const i64 most = engine_->limits.context - request.prompt.count + 1;  // the last is not run
    request.options.count = static_cast<i32>(min<i64>(request.options.count, most));
  }
  return queue_.id(queue_.add(request, now_ns()));
}

Scheduler::Slot* Scheduler::slot_of(const CompletionPlace& place) {
  for (Slot& slot : slots_) {
    if (slot.place == &place) return &slot;
  }
  return nullptr;
}

bool Scheduler::cancel(CompletionId id) {
  CompletionPlace* place = queue_.find(id);
  if (!place) return false;
  Slot* slot = slot_of(*place);
  slot ? leave(*slot) : queue_.remove(*place);
  return true;
}

// Its place and its session are free.
void Scheduler::leave(Slot& slot) {
  queue_.remove(*slot.place);
  sessions_.give_back(index(slot));
  slot.place = nullptr;
}

void Scheduler::seat_waiting() {
  while (sessions_.free() > 0) {
    CompletionPlace* place =
        queue_.next([](const void* sessions,
                       Span<const i32> prompt) { return static_cast<const SessionPool*>(sessions)->known(prompt); },
                    &sessions_);
    if (!place) return;
    seat(*place);
  }
}

// Text goes through here, so that nobody is told more who does not wait any more.
bool Scheduler::tell(void* self, Text text) {
  const Slot& slot = *static_cast<Slot*>(self);
  if (!slot.place) return false;
  const CompletionRequest& request = slot.place->request;
  return request.listener->text(request.context, text);
}

void Scheduler::seat(CompletionPlace& place) {
  const CompletionRequest& request = place.request;
  Slot& slot = slots_[sessions_.take(request.prompt, request.options.count, request.prompt_log_probabilities)];
  queue_.seat(place);
  slot.place = &place;
  slot.run = session(slot).position;
  slot.completed = {};
  slot.completed.slot = index(slot);
  slot.completed.prompt = static_cast<i32>(request.prompt.count);
  slot.completed.cached = static_cast<i32>(slot.run);
  metrics_.prompt_tokens += static_cast<u64>(request.prompt.count);
  metrics_.cached_tokens += static_cast<u64>(slot.run);
  slot.text = Generation(*engine_, session(slot), request.prompt, request.options, tell, &slot);
  find_leader(slot);
}

// The prompt that is being read, and has most in common with this one that was not read yet.
void Scheduler::find_leader(Slot& slot) {
  slot.leader = -1;
  slot.leader_ids = slot.run + WORTH_WAITING - 1;
  if (slot.place->request.prompt_log_probabilities) return;
  for (Slot& other : slots_) {
    if (&other == &slot || !reading(other) || other.place->request.prompt_log_probabilities) continue;
    const Span<const i32> prompt = slot.place->request.prompt;
    const i64 ids = common_beginning(prompt.slice(0, prompt.count - 1), other.place->request.prompt);
    if (ids <= max(slot.leader_ids, other.run)) continue;
    slot.leader = index(other);
    slot.leader_order = other.place->order;
    slot.leader_ids = ids;
  }
}

// Whether a prompt still waits for another one. When it has waited, it goes on from where that one has come to.
bool Scheduler::follows(Slot& slot) {
  if (slot.leader < 0) return false;
  Slot& leader = slots_[slot.leader];
  const bool there = reading(leader) && leader.place->order == slot.leader_order;
  if (there) (void)follows(leader);  // it may follow another one itself
  if (there && leader.run < slot.leader_ids) return true;
  slot.leader = -1;
  sessions_.advance(index(slot), slot.place->request.prompt);
  const i64 more = session(slot).position - slot.run;
  slot.run += more;
  slot.completed.cached += static_cast<i32>(more);
  metrics_.cached_tokens += static_cast<u64>(more);
  return false;
}

// Texts whose deadline came, in a slot or not.
void Scheduler::end_late() {
  const i64 now = now_ns();
  for (CompletionPlace& place : queue_.places()) {
    if (place.stage == CompletionPlace::Stage::unused || now < place.request.deadline) continue;
    metrics_.deadline_misses++;
    if (Slot* slot = slot_of(place)) {
      slot->completed.timed_out = true;
      end(*slot);
      continue;
    }
    Completed completed;
    completed.prompt = static_cast<i32>(place.request.prompt.count);
    completed.whole_ns = now - place.arrived;
    completed.timed_out = true;
    const CompletionRequest request = place.request;
    queue_.remove(place);
    request.listener->ended(request.context, completed);
  }
}

// How many ids of each prompt may be read now: not across a place where its session is wanted, for itself or for a follower. Those
// with the fewest come first. Answers how many prompts, and which of them came first.
i64 Scheduler::collect_readers(Slot** first) {
  for (Slot& slot : slots_) {
    slot.share = slot.most = 0;
    if (!reading(slot) || follows(slot)) continue;
    const i64 left = slot.place->request.prompt.count - slot.run, pause = sessions_.pause(index(slot));
    slot.most = slot.place->request.prompt_log_probabilities ? 1 : pause > slot.run ? pause - slot.run : left;
  }
  for (const Slot& slot : slots_) {
    if (!reading(slot) || slot.leader < 0) continue;
    Slot& leader = slots_[slot.leader];
    leader.most = min(leader.most, slot.leader_ids - leader.run);
  }
  i64 count = 0;
  *first = nullptr;
  for (Slot& slot : slots_) {
    if (slot.most == 0) continue;
    if (!*first || slot.place->order < (*first)->place->order) *first = &slot;
    i64 at = count++;
    for (; at > 0 && slot.most < readers_[at - 1]->most; at--)
      readers_[at] = readers_[at - 1];
    readers_[at] = &slot;
  }
  return count;
}

void Scheduler::give(Slot& slot, i64 ids, i64* room) {
  const i64 n = min(ids, slot.most - slot.share);
  slot.share += n;
  *room -= n;
}

// Half to the prompt that came first, the rest to those with the fewest ids left, and what is left then to the first again.
void Scheduler::share_out(i64 room) {
  Slot* first;
  const i64 count = collect_readers(&first);
  if (!first) return;
  give(*first, (room + 1) / 2, &room);
  for (i64 i = 0; i < count; i++) {
    if (readers_[i] != first) give(*readers_[i], room, &room);
  }
  give(*first, room, &room);
}

// The next id of each text, then parts of the prompts. Answers how many steps there are.
i64 Scheduler::collect_steps(i64* texts) {
  i64 steps = 0;
  for (Slot& slot : slots_) {
    if (!slot.place || reading(slot)) continue;
    stepping_[steps] = &slot;
    steps_[steps++] = {&session(slot), {&slot.text.id, 1}, Wanted::last};
  }
  *texts = steps;
  if (steps == busy()) return steps;
  const i64 room = engine_->limits.tokens - steps;
  share_out(min(room, prompt_share_.ids(steps)));
  for (Slot& slot : slots_) {
    if (!reading(slot) || slot.share == 0) continue;
    const Span<const i32> prompt = slot.place->request.prompt;
    const bool row = slot.place->request.prompt_log_probabilities || slot.run + slot.share == prompt.count;
    stepping_[steps] = &slot;
    steps_[steps++] = {&session(slot), prompt.slice(slot.run, slot.share), row ? Wanted::last : Wanted::nothing};
  }
  return steps;
}

bool Scheduler::step() {
  const i64 began = now_ns();
  end_late();
  seat_waiting();
  i64 texts, ids = 0;
  const i64 count = collect_steps(&texts);
  if (count == 0) return false;
  const Status status = forward(*engine_, steps_.slice(0, count));
  if (status.interrupted()) return true;
  i32 row = 0;
  for (i64 i = 0; i < count; i++) {
    Slot& slot = *stepping_[i];
    ids += steps_[i].ids.count;
    if (status.ok()) {
      after_step(slot, steps_[i], &row);
      continue;
    }
    sessions_.forget(index(slot));
    if (!slot.place) continue;
    slot.completed.status = status;
    end(slot);
  }
  prompt_share_.ran(texts, ids - texts, now_ns() - began);
  return true;
}

// The ids of a step were run. Nobody may wait for them any more: whoever heard of another text's end may have cancelled this one.
void Scheduler::after_step(Slot& slot, const Step& step, i32* row) {
  sessions_.ran(index(slot), step.ids);
  if (reading(slot)) slot.run += step.ids.count;
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
  if (slot.text.over()) return end(slot);  // no id was wanted
  const CompletionRequest& request = slot.place->request;
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

// The slot is free before the listener hears of it. Whoever hears of the text's last piece may have cancelled it.
void Scheduler::end(Slot& slot) {
  slot.text.finish();
  if (!slot.place) return;
  slot.completed.ending = slot.text.ending;
  metrics_.repetition_stops += slot.text.ending == Ending::repetition;
  slot.completed.made = slot.text.count;
  slot.completed.whole_ns = now_ns() - slot.place->arrived;
  const CompletionRequest request = slot.place->request;
  leave(slot);
  request.listener->ended(request.context, slot.completed);
}

}  // namespace edgellm
