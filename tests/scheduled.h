// A scheduler over an engine of its own, with texts that note what they are told.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "open_engine.h"
#include "server/scheduler.h"

using Ids = std::vector<edgellm::i32>;

inline edgellm::Span<const edgellm::i32> span_of(const Ids& ids) {
  return {ids.data(), static_cast<edgellm::i64>(ids.size())};
}

// A text that was asked for.
struct Asked {
  edgellm::CompletionRequest request;
  Ids prompt, made;
  std::string text;
  edgellm::CompletionId id;
  edgellm::Completed completed;
  int ended = 0;                                 // times
  bool closes = false;                           // it listens no more
  std::function<void()> at_id, at_text, at_end;  // then it does this too

  Asked(Ids ids, edgellm::i32 count, edgellm::u64 seed) : prompt(std::move(ids)) {
    request.options.count = count;
    request.options.sampling = {.temperature = 1.5f, .top_p = 1, .repeat_penalty = 1.3f, .seed = seed};
  }
  Asked(const Asked&) = delete;

  std::string words() const { return completed.status.text(); }
  static void hear_id(void* self, edgellm::i32 id) {
    Asked& asked = *static_cast<Asked*>(self);
    CHECK_EQ(asked.ended, 0);
    asked.made.push_back(id);
    if (asked.at_id) asked.at_id();
  }
  static bool hear_text(void* self, edgellm::Text text) {
    Asked& asked = *static_cast<Asked*>(self);
    CHECK_EQ(asked.ended, 0);
    asked.text.append(text.data, static_cast<size_t>(text.size));
    if (asked.at_text) asked.at_text();
    return !asked.closes;
  }
  static void hear_end(void* self, const edgellm::Completed& completed) {
    Asked& asked = *static_cast<Asked*>(self);
    asked.completed = completed;
    asked.ended++;
    if (asked.at_end) asked.at_end();
  }
};

inline const edgellm::CompletionListener ASKED = {Asked::hear_id, Asked::hear_text, Asked::hear_end};

struct Scheduled {
  OpenEngine open;
  edgellm::Scheduler scheduler;
  edgellm::Span<edgellm::u8> block;

  static edgellm::EngineOptions with_slots(edgellm::EngineOptions options, edgellm::i32 slots) {
    options.sessions = slots;
    return options;
  }
  Scheduled(const edgellm::EngineOptions& options, const std::string& path, edgellm::i32 slots, edgellm::i32 queue = 64)
      : open(with_slots(options, slots), path) {
    edgellm::Arena size;
    scheduler.place(size, open.engine, queue);
    CHECK(edgellm::take_memory(size.used(), {}, &block).ok());
    edgellm::Arena arena(block.data, block.count);
    scheduler.place(arena, open.engine, queue);
    CHECK_EQ(arena.used(), size.used());
  }
  Scheduled(const Scheduled&) = delete;
  ~Scheduled() { edgellm::release_memory(block); }

  void ask(Asked& asked) {
    CHECK_EQ(std::string(scheduler.check_prompt(span_of(asked.prompt)).text()), "");
    asked.request.prompt = span_of(asked.prompt);
    asked.request.listener = &ASKED;
    asked.request.context = &asked;
    asked.id = scheduler.submit(asked.request);
  }
  void run_all() {
    while (scheduler.step()) {
    }
    CHECK_EQ(scheduler.busy() + scheduler.waiting(), 0);
  }
  // Asks and waits for the end.
  Asked& complete(Asked& asked) {
    ask(asked);
    run_all();
    CHECK_EQ(asked.ended, 1);
    return asked;
  }
};
