// Which of the texts that wait is next, and how many ids of prompts a pass has beside texts.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "platform/memory.h"
#include "server/completion_queue.h"
#include "server/prompt_share.h"

using namespace edgellm;

namespace {

struct Queue {
  CompletionQueue queue;
  Span<u8> block;

  explicit Queue(i32 places, i32 context = 16) {
    Arena size;
    queue.place(size, places, context);
    CHECK(take_memory(size.used(), {}, &block).ok());
    Arena arena(block.data, block.count);
    queue.place(arena, places, context);
  }
  Queue(const Queue&) = delete;
  ~Queue() { release_memory(block); }

  // The first id of its prompt says how many ids sessions hold.
  CompletionPlace& add(i32 priority, i32 count, i32 shared) {
    CompletionRequest request;
    request.prompt = {&shared, 1};
    request.priority = priority;
    request.options.count = count;
    return queue.add(request, 0);
  }
  CompletionPlace* seat() {
    CompletionPlace* place = queue.next([](const void*, Span<const i32> prompt) { return i64{prompt[0]}; }, nullptr);
    if (place) queue.seat(*place);
    return place;
  }
  void leave(CompletionPlace& place) { queue.remove(place); }
};

}  // namespace

TEST(the_order_of_slots) {
  struct Text {
    char name;
    i32 priority, count, shared;
  };
  const struct {
    const char* name;
    std::vector<Text> texts;
    const char* order;
  } cases[] = {
      {"the oldest first", {{'a', 0, 16, 0}, {'b', 0, 16, 0}, {'c', 0, 16, 0}}, "abc"},
      {"priority", {{'a', 0, 16, 0}, {'b', 5, 16, 0}, {'c', -3, 16, 0}, {'d', 5, 16, 0}}, "bdac"},
      {"priority before shared beginnings", {{'a', 0, 16, 90}, {'b', 1, 16, 0}}, "ba"},
      {"shared beginnings", {{'a', 0, 16, 0}, {'b', 0, 16, 40}, {'c', 0, 16, 50}, {'d', 0, 16, 40}}, "cbda"},
      {"similar lengths", {{'a', 0, 16, 0}, {'b', 0, 500, 0}, {'c', 0, 30, 0}, {'d', 0, 300, 0}, {'e', 0, 17, 0}}, "acebd"},
      {"shared beginnings before lengths", {{'a', 0, 16, 0}, {'b', 0, 500, 9}, {'c', 0, 16, 0}, {'d', 0, 400, 0}}, "bdac"},
      {"eight are looked at",
       {{'a', 0, 16, 0},
        {'b', 0, 16, 0},
        {'c', 0, 16, 0},
        {'d', 0, 16, 0},
        {'e', 0, 16, 0},
        {'f', 0, 16, 0},
        {'g', 0, 16, 0},
        {'h', 0, 16, 0},
        {'i', 0, 16, 9}},
       "aibcdefgh"},
      {"the eighth is the oldest",
       {{'z', 0, 16, 0},
        {'a', 1, 16, 0},
        {'b', 1, 16, 0},
        {'c', 1, 16, 0},
        {'d', 1, 16, 0},
        {'e', 1, 16, 0},
        {'f', 1, 16, 0},
        {'g', 1, 16, 0},
        {'h', 1, 16, 0},
        {'i', 1, 16, 0}},
       "abcdefgzhi"},
  };
  for (const auto& one : cases) {
    Queue queue(static_cast<i32>(one.texts.size()));
    std::vector<const CompletionPlace*> places;
    for (const Text& text : one.texts)
      places.push_back(&queue.add(text.priority, text.count, text.shared));
    std::string order;
    while (const CompletionPlace* place = queue.seat())
      order += one.texts[static_cast<size_t>(std::find(places.begin(), places.end(), place) - places.begin())].name;
    CHECK_EQ(std::string(one.name) + ": " + order, std::string(one.name) + ": " + one.order);
  }
}

// Whatever comes meanwhile, a text with k older ones before it is the 8 (k + 1)th at the latest; some leave without a slot.
TEST(nothing_waits_for_ever) {
  for (u32 seed = 1; seed <= 20; seed++) {
    std::mt19937 random(seed);
    const auto below = [&](i32 n) { return static_cast<i32>(random() % static_cast<u32>(n)); };
    Queue queue(40);
    struct Waiting {
      CompletionPlace* place;
      i32 latest;  // seat
    };
    std::vector<Waiting> waiting;
    for (i32 seat = 1; seat <= 2000; seat++) {
      while (queue.queue.room() > 0 && (waiting.size() < 2 || below(3) > 0)) {
        // Those that came first are seldom of high priority.
        CompletionPlace& place = queue.add(below(10) == 0 ? -5 : seat / 100, 1 << below(10), below(3) * 10);
        waiting.push_back({&place, seat - 1 + (PASSES + 1) * (static_cast<i32>(waiting.size()) + 1)});
      }
      if (below(20) == 0) {
        const i64 gone = below(static_cast<i32>(waiting.size()));
        queue.leave(*waiting[static_cast<size_t>(gone)].place);
        waiting.erase(waiting.begin() + gone);
      }
      CompletionPlace* place = queue.seat();
      if (!place) continue;
      const auto found =
          std::find_if(waiting.begin(), waiting.end(), [&](const Waiting& one) { return one.place == place; });
      CHECK(found != waiting.end());
      if (found == waiting.end()) return;
      CHECK(seat <= found->latest);
      queue.leave(*place);
      waiting.erase(found);
    }
    for (const Waiting& one : waiting)
      CHECK(one.latest >= 2000);
  }
}

TEST(places_are_found_again) {
  Queue queue(2);
  CompletionPlace& first = queue.add(0, 1, 0);
  const CompletionId id = queue.queue.id(first);
  CHECK(queue.queue.find(id) == &first);
  CHECK(queue.queue.find({}) == nullptr);
  CHECK(queue.queue.find({2, 0}) == nullptr);
  queue.leave(first);
  CHECK(queue.queue.find(id) == nullptr);
  CompletionPlace& again = queue.add(0, 1, 0);
  CHECK(&again == &first);
  CHECK(queue.queue.find(id) == nullptr);
  CHECK(queue.queue.find(queue.queue.id(again)) == &first);
  CHECK_EQ(queue.queue.room(), 1);
}

// A machine where a pass takes a + b times its ids. Beside texts, passes take at most twice as long as without the prompt, and the
// prompt at most two and a half times as long as by itself, 64 ids at a time.
TEST(the_share_of_prompts) {
  for (const f64 a : {0.0, 1.5, 7.0, 40.0}) {
    for (const i64 texts : {1, 3, 7, 20}) {
      PromptShare share;
      const f64 b = 10'000;
      const auto pass_ns = [&](i64 ids) { return static_cast<i64>(b * (a + static_cast<f64>(ids))); };
      const i64 alone = pass_ns(texts);
      share.ran(0, 64, pass_ns(64));
      i64 whole = 0, left = 1000;
      while (left > 0) {
        const i64 ids = std::min(left, share.ids(texts));
        const i64 ns = pass_ns(texts + ids);
        CHECK(ns <= 2 * alone);
        share.ran(texts, ids, ns);
        whole += ns;
        left -= ids;
      }
      CHECK(static_cast<f64>(whole) <= 2.5 * 1000 / 64 * static_cast<f64>(pass_ns(64)));
    }
  }
}

// Prompts beside no text: nothing else is served meanwhile, and it is not for long.
TEST(prompts_alone) {
  for (const auto& [id_ns, ids] :
       {std::pair<i64, i64>(1000, 250'000), {3'900'000, 64}, {5'000'000, 50}, {1'000'000'000, 16}}) {
    PromptShare share;
    CHECK_EQ(share.ids(0), INT64_MAX);  // it is not known yet
    share.ran(0, 64, 64 * id_ns);
    CHECK_EQ(share.ids(0), ids);
    share.ran(2, 0, 100 * id_ns);  // and texts in between change nothing
    CHECK_EQ(share.ids(0), ids);
  }
}

// What is not known is not guessed too high, and a pass that was held up does not move much.
TEST(the_share_of_prompts_is_careful) {
  PromptShare share;
  CHECK_EQ(share.ids(5), i64{0});  // measures the texts first
  share.ran(5, 0, 100);
  CHECK_EQ(share.ids(5), i64{5});  // twice the ids take twice the time at most
  share.ran(5, 5, 150);
  CHECK_EQ(share.ids(5), i64{9});   // 88 / 10
  CHECK_EQ(share.ids(10), i64{9});  // more texts take no less
  CHECK_EQ(share.ids(1), i64{2});   // 17.6 / 10
  share.ran(5, 0, 1'000'000);
  CHECK_EQ(share.ids(5), i64{11});
  share.ran(10, 0, 1'000'000);
  CHECK_EQ(share.ids(10), i64{22});
  share.ran(5, 1, 1'000'000);
  CHECK_EQ(share.ids(10), i64{18});
  for (i32 i = 0; i < 14; i++)
    CHECK(share.ids(10) > 0);
  CHECK_EQ(share.ids(10), i64{0});  // after 16 passes
  CHECK_EQ(share.ids(10), i64{0});  // until it was measured
  share.ran(10, 0, 250);
  CHECK(share.ids(10) > 0);
}
