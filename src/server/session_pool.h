// The sessions of an engine, lent to texts one after another, and what each of them has run: a prompt that begins in the same way
// need not be run from its start. A session can be put where it, or another one, has been:
//
//   behind any of its ids    where each position has a place of its own: attention without a window, or before its ring is full
//   behind all of its ids    at the end of an answer, or while it is lent
//   at its point             the state before the last id of the last prompt, kept where a model cannot go back. The next turn of a
//                            conversation contains that prompt, even where its answer is cut into other ids than were drawn
//
// Whoever keeps states elsewhere puts another class in its place: `known`, `take`, `advance` say what can be had, the others what
// has happened.
#pragma once
#include "base/arena.h"
#include "engine/engine.h"

namespace edgellm {

class SessionPool {
 public:
  // Takes memory beside that of the engine, which is planned for so many sessions; once it is open they are all free.
  void place(Arena& arena, Engine& engine, i32 sessions);

  i32 count() const { return static_cast<i32>(shelves_.count); }
  i32 free() const { return free_; }
  Session& session(i32 index) const { return engine_->sessions[index]; }

  // How many ids of the prompt need not be run: at most all but the last, whose logits are wanted.
  i64 known(Span<const i32> prompt) const;

  // Lends a session that stands behind the ids of the prompt that are known, none of them if it is to be `anew`. One is free.
  // `count` is of the ids that will be made.
  i32 take(Span<const i32> prompt, i64 count, bool anew);

  // Of a session that was taken for the prompt and has run nothing since: puts it further, if more is known now.
  void advance(i32 index, Span<const i32> prompt);

  // The position behind which the next ids are to be run in a pass of their own, because a point is kept there; 0: none.
  i64 pause(i32 index) const { return shelves_[index].pause; }

  // The session has run these ids.
  void ran(i32 index, Span<const i32> ids);

  // What the session holds is not known any more.
  void forget(i32 index);

  void give_back(i32 index);

 private:
  struct Shelf {              // of a session
    Span<i32> timeline = {};  // (context) the ids that it has run; of longer ones the first
    u8* point = nullptr;      // (Model::point_bytes)
    i64 point_at = 0;         // ids before it, 0: there is none
    i64 pause = 0;            // ids before the one to keep, 0: none
    u64 taken = 0;            // when it was lent last, in loans
    bool lent = false;
  };

  bool goes_back(const Session& session) const;
  i64 known(i32 index, Span<const i32> prompt) const;
  i32 choose(Span<const i32> prompt, i32* source, i64* ids) const;
  i32 source_of(Span<const i32> prompt, i64* ids) const;
  void put(i32 index, i32 source, Span<const i32> ids);
  void put_state(i32 index, i32 source, i64 ids);
  void keep_due(i32 index);

  Engine* engine_ = nullptr;
  Span<Shelf> shelves_;
  i32 free_ = 0;
  u64 loans_ = 0;
};

// Ids at the beginning of both.
i64 common_beginning(Span<const i32> a, Span<const i32> b);

}  // namespace edgellm
