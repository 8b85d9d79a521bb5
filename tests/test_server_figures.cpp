// What a scheduler counts of its texts.
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "check.h"
#include "open_engine.h"
#include "scripted_model.h"
#include "server/scheduler.h"

using namespace edgellm;

namespace {

struct Heard {
  std::vector<Completed> ended;
  std::vector<f64> values;  // log probabilities of the ids that were told
  std::vector<i64> tops;    // how many of the most probable ids came with each
  const Scheduler* scheduler = nullptr;
};

constexpr CompletionListener LISTENER = {
    [](void* to, i32 id) {
      Heard& heard = *static_cast<Heard*>(to);
      const LogProbabilities& figures = heard.scheduler->log_probabilities();
      heard.values.push_back(static_cast<f64>(figures.of(id)));
      heard.tops.push_back(figures.top().count);
    },
    [](void*, Text) { return true; },
    [](void* to, const Completed& completed) { static_cast<Heard*>(to)->ended.push_back(completed); }};

EngineOptions two_slots() {
  EngineOptions options;
  options.threads = 1;
  options.sessions = options.logits = 2;
  options.text_bytes = 100;
  return options;
}

struct Scheduling {
  explicit Scheduling(const Script& script) : open(two_slots(), write_script(script)) {
    Arena counting;
    Scheduler().place(counting, open.engine, 4);
    block = std::make_unique<u8[]>(static_cast<size_t>(counting.used()) + 64);
    Arena arena(block.get() + (64 - reinterpret_cast<uintptr_t>(block.get()) % 64), counting.used());
    scheduler.place(arena, open.engine, 4);
    heard.scheduler = &scheduler;
  }
  CompletionId submit(const std::vector<i32>& prompt, i32 count, i32 tops = -1, i64 deadline = INT64_MAX) {
    CompletionRequest request;
    request.prompt = {prompt.data(), static_cast<i64>(prompt.size())};
    request.options.count = count;
    request.options.stop_repeats = true;
    request.options.sampling.temperature = 0;
    request.top_log_probabilities = tops;
    request.deadline = deadline;
    request.listener = &LISTENER;
    request.context = &heard;
    return scheduler.submit(request);
  }
  void finish() {
    while (scheduler.step()) {
    }
  }

  OpenEngine open;
  std::unique_ptr<u8[]> block;
  Scheduler scheduler;
  Heard heard;
};

}  // namespace

TEST(tokens_and_their_log_probabilities) {
  Scheduling s(Script("hello world, this is all"));
  s.submit({5, 6, 7}, 10, 0);
  s.submit({8, 9}, 4, 3);
  s.finish();
  const ModelMetrics& m = s.scheduler.metrics();
  CHECK_EQ(m.prompt_tokens, 5u);
  CHECK_EQ(m.cached_tokens, 0u);
  CHECK_EQ(m.tokens, 14u);
  CHECK_EQ(m.first_token.count(), 2u);
  CHECK_EQ(m.between_tokens.count(), 12u);
  CHECK(m.between_tokens.seconds() >= 0);
  CHECK_EQ(s.heard.values.size(), 14u);
  f64 sum = 0;
  i64 with_tops = 0;
  for (size_t i = 0; i < s.heard.values.size(); i++) {
    if (i % ModelMetrics::SAMPLE == 0) sum -= s.heard.values[i];
    with_tops += s.heard.tops[i] == 3;
    CHECK(s.heard.tops[i] == 0 || s.heard.tops[i] == 3);
    CHECK(s.heard.values[i] < 0 && s.heard.values[i] > -100);  // random weights, before the grammar
  }
  CHECK_EQ(with_tops, 4);
  CHECK_EQ(m.sampled_tokens, 1u);
  CHECK(std::fabs(sum - m.negative_log_probability) < 1e-9);

  s.submit({5, 6, 7, 8}, 3);  // goes on from the first, and asks for nothing
  s.finish();
  CHECK_EQ(m.prompt_tokens, 9u);
  CHECK_EQ(m.cached_tokens, static_cast<u64>(s.heard.ended.back().cached));
  CHECK(m.cached_tokens > 0);
  CHECK_EQ(m.sampled_tokens, 2u);  // the first and the 17th
}

TEST(texts_that_go_in_a_circle_or_are_late) {
  Script script("abcd");
  script.context = 300;
  Scheduling s(script);
  s.submit({5, 6}, 200);
  s.finish();
  const ModelMetrics& m = s.scheduler.metrics();
  CHECK_EQ(m.repetition_stops, 1u);
  CHECK_EQ(m.tokens, 64u);
  CHECK(s.heard.ended.back().ending == Ending::repetition);
  s.submit({5, 6}, 63);
  s.finish();
  CHECK_EQ(m.repetition_stops, 1u);
  CHECK_EQ(m.deadline_misses, 0u);
  s.submit({5, 6}, 100, -1, 1);  // a deadline that has passed
  s.finish();
  CHECK_EQ(m.deadline_misses, 1u);
  CHECK(s.heard.ended.back().timed_out);
  s.submit({5, 6}, 100);
  s.scheduler.cancel(s.submit({7}, 100));  // nobody waits for it
  s.finish();
  CHECK_EQ(m.repetition_stops, 2u);
  CHECK_EQ(m.deadline_misses, 1u);
  CHECK_EQ(m.tokens, 64u + 63 + 64);
}
