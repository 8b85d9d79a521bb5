#include "server/session_pool.h"

#include <string.h>

#include "arch/kv_cache.h"

namespace edgellm {

i64 common_beginning(Span<const i32> a, Span<const i32> b) {
  const i64 most = min(a.count, b.count);
  i64 i = 0;
  while (i < most && a[i] == b[i])
    i++;
  return i;
}

void SessionPool::place(Arena& arena, Engine& engine, i32 sessions) {
  engine_ = &engine;
  const i64 context = engine.limits.context;
  shelves_ = {arena.take<Shelf>(sessions), sessions};
  free_ = sessions;
  for (i32 i = 0; i < sessions; i++) {
    i32* timeline = arena.take<i32>(context);
    u8* point = arena.take<u8>(engine.model.point_bytes);
    if (!arena.counting()) shelves_[i] = {.timeline = {timeline, context}, .point = point};
  }
}

// Nothing that it has run was written over since.
bool SessionPool::goes_back(const Session& session) const {
  const Limits& limits = engine_->limits;
  return engine_->model.recurrent_bytes == 0 && (limits.window == 0 || session.position <= cache_slots(limits));
}

// What this session has of it.
i64 SessionPool::known(i32 index, Span<const i32> prompt) const {
  const Shelf& shelf = shelves_[index];
  const Session& at = session(index);
  const i64 run = at.position;
  const Span<const i32> timeline = shelf.timeline.slice(0, min(run, shelf.timeline.count));
  const i64 shared = common_beginning(timeline, prompt.slice(0, prompt.count - 1));
  if (shared == run || goes_back(at)) return shared;
  return shelf.point_at <= shared ? shelf.point_at : 0;
}

// The session that has most of it; of equal ones the first that is free.
i32 SessionPool::source_of(Span<const i32> prompt, i64* ids) const {
  i32 source = 0;
  *ids = -1;
  for (i32 i = 0; i < count(); i++) {
    const i64 more = known(i, prompt) - *ids;
    if (more < 0 || (more == 0 && (shelves_[i].lent || !shelves_[source].lent))) continue;
    source = i;
    *ids += more;
  }
  return source;
}

i64 SessionPool::known(Span<const i32> prompt) const {
  i64 ids;
  source_of(prompt, &ids);
  return ids;
}

// The session that has most of it, if it is free and does not lose more than it spares: a conversation that goes on. Otherwise that
// which was not lent for the longest time, for a copy.
i32 SessionPool::choose(Span<const i32> prompt, i32* source, i64* ids) const {
  *source = source_of(prompt, ids);
  if (!shelves_[*source].lent && *ids > 0 && session(*source).position <= 2 * *ids) return *source;
  i32 oldest = -1;
  for (i32 i = 0; i < count(); i++) {
    if (!shelves_[i].lent && (oldest < 0 || shelves_[i].taken < shelves_[oldest].taken)) oldest = i;
  }
  return oldest;
}

i32 SessionPool::take(Span<const i32> prompt, i64 count, bool anew) {
  assert(free_ > 0);
  i32 source;
  i64 ids;
  const i32 index = choose(prompt, &source, &ids);
  put(index, source, prompt.slice(0, anew ? 0 : ids));
  Shelf& shelf = shelves_[index];
  const Model& model = engine_->model;
  const bool stays = model.recurrent_bytes == 0 && prompt.count + count <= cache_slots(engine_->limits);
  shelf.pause = model.point_bytes == 0 || stays ? 0 : prompt.count - 1;
  shelf.taken = ++loans_;
  shelf.lent = true;
  free_--;
  keep_due(index);
  return index;
}

void SessionPool::advance(i32 index, Span<const i32> prompt) {
  i64 ids;
  const i32 source = source_of(prompt, &ids);
  if (ids > session(index).position) put(index, source, prompt.slice(0, ids));
  keep_due(index);
}

// The session stands behind these ids, which the source has run.
void SessionPool::put(i32 index, i32 source, Span<const i32> ids) {
  Session& to = session(index);
  put_state(index, source, ids.count);
  to.restart();
  to.position = static_cast<i32>(ids.count);
  for (i64 i = max<i64>(0, ids.count - REPEAT_SPAN); i < ids.count; i++)
    to.remember(ids[i]);
  Shelf& shelf = shelves_[index];
  memcpy(shelf.timeline.data, ids.data, static_cast<size_t>(ids.count) * sizeof(i32));
  if (shelf.point_at > ids.count) shelf.point_at = 0;
}

void SessionPool::put_state(i32 index, i32 source, i64 ids) {
  Session &from = session(source), &to = session(index);
  const Shelf& kept = shelves_[source];
  Shelf& shelf = shelves_[index];
  if (ids == 0 || (index == source && ids == from.position)) return;
  const bool flat = goes_back(from);
  if (!flat && ids == from.position) {
    keep_point(engine_->model, from.state, shelf.point);
  } else if (!flat && index != source) {
    memcpy(shelf.point, kept.point, static_cast<size_t>(engine_->model.point_bytes));
  }
  if (!flat) return_to_point(engine_->model, shelf.point, to.state);
  if (!flat || index != source) shelf.point_at = flat ? 0 : ids;
  if (index != source && (flat || engine_->limits.window == 0))
    copy_positions(engine_->model, from.state, static_cast<i32>(ids), to.state);
}

void SessionPool::ran(i32 index, Span<const i32> ids) {
  Shelf& shelf = shelves_[index];
  const Session& at = session(index);
  const i64 before = at.position - ids.count, known = min(ids.count, shelf.timeline.count - before);
  if (known > 0) memcpy(shelf.timeline.data + before, ids.data, static_cast<size_t>(known) * sizeof(i32));
  keep_due(index);
}

void SessionPool::keep_due(i32 index) {
  Shelf& shelf = shelves_[index];
  if (shelf.pause == 0 || session(index).position != shelf.pause) return;
  if (shelf.point_at != shelf.pause) keep_point(engine_->model, session(index).state, shelf.point);
  shelf.point_at = shelf.pause;
  shelf.pause = 0;
}

void SessionPool::forget(i32 index) {
  session(index).restart();
  shelves_[index].point_at = 0;
}

void SessionPool::give_back(i32 index) {
  shelves_[index].lent = false;
  free_++;
}

}  // namespace edgellm
