// What prompts and texts in the slots of a server cost each other, without a network: a prompt alone and beside seven texts, one text
// and eight.
//
//   build/bench-slots MODEL [THREADS [PROMPT]]     2 threads, a prompt of 1,000 ids
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "platform/clock.h"
#include "platform/memory.h"
#include "server/scheduler.h"

using namespace edgellm;

namespace {

constexpr i32 SLOTS = 8, CONTEXT = 2048;
constexpr i32 ALONE = 24;  // ids of each text, by which times without a prompt are measured

struct Slots {
  Engine engine;
  Scheduler scheduler;
};
Slots slots;

// A text, and when each of its ids came.
struct Made {
  i64 asked = now_ns();
  std::vector<i64> at;
  bool ended = false;
  CompletionId id;
};
using Texts = std::vector<std::unique_ptr<Made>>;

const CompletionListener LISTENER = {[](void* made, i32) { static_cast<Made*>(made)->at.push_back(now_ns()); },
                                     [](void*, Text) { return true; },
                                     [](void* made, const Completed&) { static_cast<Made*>(made)->ended = true; }};

// No two prompts begin in the same way.
std::unique_ptr<Made> ask(i32 prompt, i32 count) {
  static i32 number = 0;
  const i32 vocab = slots.engine.model.vocab;
  std::vector<i32> ids{number++ % vocab};
  while (static_cast<i32>(ids.size()) < prompt)
    ids.push_back(static_cast<i32>((static_cast<i64>(ids.size()) * 7919 + number) % vocab));
  auto made = std::make_unique<Made>();
  CompletionRequest request;
  request.prompt = {ids.data(), prompt};
  request.options.count = count;
  request.options.ignore_stop_ids = true;
  request.options.sampling.temperature = 0;
  request.listener = &LISTENER;
  request.context = made.get();
  made->id = slots.scheduler.submit(request);
  return made;
}

Texts ask_all(i32 texts, i32 count) {
  Texts all;
  for (i32 i = 0; i < texts; i++)
    all.push_back(ask(4, count));
  return all;
}

// Milliseconds until the only id of the prompt.
double finish(const Made& made) {
  while (!made.ended)
    slots.scheduler.step();
  return static_cast<double>(made.at[0] - made.asked) / 1e6;
}

// Between two ids of a text, from some moment on, in milliseconds, in order.
std::vector<double> gaps(const Texts& texts, i64 from) {
  std::vector<double> all;
  for (const auto& text : texts)
    for (size_t i = 1; i < text->at.size(); i++)
      if (text->at[i - 1] >= from) all.push_back(static_cast<double>(text->at[i] - text->at[i - 1]) / 1e6);
  std::sort(all.begin(), all.end());
  return all;
}

double share(const std::vector<double>& sorted, double part) {
  return sorted[std::min(sorted.size() - 1, static_cast<size_t>(part * static_cast<double>(sorted.size())))];
}

void run(i32 passes) {
  for (i32 i = 0; i < passes; i++)
    slots.scheduler.step();
}

void open(const char* path, i32 threads) {
  Span<const u8> map;
  EngineOptions options;
  options.threads = threads;
  options.context = CONTEXT;
  options.sessions = SLOTS;
  options.tokens = DEFAULT_CHUNK + SLOTS;
  Status status = map_file(path, {}, &map);
  options.file = map;
  if (status.ok()) status = open_engine(options, &slots.engine);
  Arena counting;
  Span<u8> block;
  if (status.ok()) slots.scheduler.place(counting, slots.engine, 1);
  if (status.ok()) status = take_memory(counting.used(), {}, &block);
  if (!status.ok()) {
    std::fprintf(stderr, "bench-slots: %s\n", status.text());
    std::exit(1);
  }
  Arena arena(block.data, block.count);
  slots.scheduler.place(arena, slots.engine, 1);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) {
    std::fprintf(stderr, "usage: bench-slots MODEL [THREADS [PROMPT]]\n");
    return 2;
  }
  const i32 threads = count > 2 ? std::atoi(arguments[2]) : 2;
  const i32 prompt = std::clamp(count > 3 ? std::atoi(arguments[3]) : 1000, 2, CONTEXT);
  open(arguments[1], threads);
  finish(*ask(64, 1));
  const double alone = finish(*ask(prompt, 1));
  const i64 one_began = now_ns();
  const Texts one = ask_all(1, ALONE);
  finish(*one[0]);
  const double one_ms = share(gaps(one, one_began), 0.5);
  const Texts eight = ask_all(8, ALONE);
  run(4 * ALONE);
  const double eight_ms = share(gaps(eight, one_began), 0.5);

  // As many passes before the prompt as after it, because texts that grow take longer.
  const Texts seven = ask_all(7, CONTEXT);
  run(ALONE);
  i64 began = now_ns();
  run(ALONE);
  std::vector<double> without = gaps(seven, began);
  began = now_ns();
  const double beside = finish(*ask(prompt, 1));
  const std::vector<double> with = gaps(seven, began);
  began = now_ns();
  run(ALONE);
  const std::vector<double> after = gaps(seven, began);
  without.insert(without.end(), after.begin(), after.end());
  std::sort(without.begin(), without.end());

  const auto line = [](const char* name, double a, const char* first, double b, const char* second) {
    std::printf("%-28s %10.2f ms %s, %10.2f ms %s: %.2f times\n", name, a, first, b, second, b / a);
  };
  line("first id of the prompt", alone, "alone", beside, "beside 7 texts");
  line("between ids of 7, median", share(without, 0.5), "alone", share(with, 0.5), "beside the prompt");
  line("between ids of 7, 99 of 100", share(without, 0.99), "alone", share(with, 0.99), "beside the prompt");
  std::printf("a token of 1 text %.2f ms, of each of 8 texts %.2f ms: %.2f times the tokens per second\n", one_ms, eight_ms,
              8 * one_ms / eight_ms);
  return 0;
}
