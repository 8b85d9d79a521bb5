// Many texts on one engine: each is what it is alone, whoever comes, leaves or fails beside it.
#include "server/scheduler.h"

#include <algorithm>
#include <random>

#include "engine/generation.h"
#include "files.h"
#include "platform/clock.h"
#include "platform/signals.h"
#include "raw_model_file.h"
#include "scheduled.h"
#include "small_models.h"

using namespace edgellm;

namespace {

// What the request gives by itself, in a session that has run nothing.
struct Alone {
  OpenEngine open;
  Ids made;
  std::string text;

  explicit Alone(const SmallModel& model) : open(model.options(), model.path) {}
  static bool hear(void* self, Text text) {
    static_cast<Alone*>(self)->text.append(text.data, static_cast<size_t>(text.size));
    return true;
  }
  // One id at a time, so that the ids are seen.
  void operator()(const Asked& asked) {
    made.clear();
    text.clear();
    Session& session = open.engine.sessions[0];
    session.restart();
    GenerateOptions options = asked.request.options;
    const i64 room = open.engine.limits.context - static_cast<i64>(asked.prompt.size()) + 1;
    if (!endless(open.engine)) options.count = static_cast<i32>(std::min<i64>(options.count, room));
    Generation generation(open.engine, session, span_of(asked.prompt), options, hear, this);
    Ids next = asked.prompt;
    while (!generation.over()) {
      session.grammar_state = made.empty() ? Grammar::START : session.grammar_state;
      if (!open.run(0, next)) return;
      CHECK(generation.draw(0).ok());
      if (!generation.ends_text()) made.push_back(generation.id);
      generation.say();
      next = {generation.id};
    }
    generation.finish();
  }
};

std::string listed(const Ids& ids) {
  std::string all;
  for (i32 id : ids)
    all += std::to_string(id) + " ";
  return all;
}

struct Company {
  const SmallModel& model;
  Scheduled scheduled;
  Alone alone;
  std::mt19937 random;
  std::vector<std::unique_ptr<Asked>> asked;

  Company(const SmallModel& m, i32 slots, u32 seed)
      : model(m), scheduled(m.options(), m.path, slots), alone(m), random(seed) {}
  i32 below(i32 n) { return static_cast<i32>(random() % static_cast<u32>(n)); }

  // Some begin as others did, some go on where others ended.
  Ids prompt() {
    Ids ids;
    if (!asked.empty() && below(3) > 0) {
      const Asked& other = *asked[static_cast<size_t>(below(static_cast<i32>(asked.size())))];
      ids = other.prompt;
      if (below(2)) ids.insert(ids.end(), other.made.begin(), other.made.end());
      if (below(3) == 0) ids.resize(static_cast<size_t>(1 + below(static_cast<i32>(ids.size()))));
    }
    const i32 more = ids.empty() ? 1 + below(40) : below(12);
    for (i32 i = 0; i < more; i++)
      ids.push_back(below(67));
    if (ids.size() > 80) ids.resize(80);
    return ids;
  }
  void ask() {
    asked.push_back(std::make_unique<Asked>(prompt(), below(20), static_cast<u64>(random())));
    Asked& text = *asked.back();
    text.request.priority = below(3);
    if (below(4) == 0) CHECK(text.request.options.stop.add("r f"));
    scheduled.ask(text);
  }
  void cancel() {
    const size_t i = static_cast<size_t>(below(static_cast<i32>(asked.size())));
    if (asked[i]->ended) return;
    scheduled.scheduler.cancel(asked[i]->id);
    CHECK(!asked[i]->ended);
    asked[i]->ended = 2;  // nothing more is heard
  }
  // Answers how many ids were not run again.
  i32 check() {
    i32 cached = 0;
    for (const auto& text : asked) {
      if (text->ended == 2) continue;
      CHECK_EQ(text->ended, 1);
      CHECK_EQ(text->words(), "");
      alone(*text);
      CHECK_EQ(model.name + ": " + listed(text->made), model.name + ": " + listed(alone.made));
      CHECK_EQ(text->text, alone.text);
      CHECK_EQ(text->completed.prompt, static_cast<i32>(text->prompt.size()));
      CHECK(text->completed.cached < text->completed.prompt);
      cached += text->completed.cached;
    }
    return cached;
  }
};

}  // namespace

TEST(each_text_is_what_it_is_alone) {
  for (const SmallModel& model : small_models()) {
    i32 cached = 0;
    for (i32 slots : {1, 2, 3, 7, 16}) {
      Company company(model, slots, static_cast<u32>(slots));
      for (i32 round = 0; round < 200; round++) {
        if (company.below(3) == 0) company.ask();
        if (company.below(25) == 0 && !company.asked.empty()) company.cancel();
        company.scheduled.scheduler.step();
      }
      company.scheduled.run_all();
      cached += company.check();
    }
    CHECK(cached > 100);
  }
}

// The next turn, the same prompt again, and a turn whose answer before is cut into other ids.
TEST(what_need_not_be_run_again) {
  for (const SmallModel& model : small_models()) {
    if (model.name == "script") continue;
    Alone alone(model);
    Scheduled scheduled(model.options(), model.path, 3);
    const auto cached = [&](const Ids& prompt, i32 count, u64 seed, Ids* made = nullptr) {
      Asked text(prompt, count, seed);
      scheduled.complete(text);
      alone(text);
      CHECK_EQ(model.name + ": " + listed(text.made), model.name + ": " + listed(alone.made));
      if (made) *made = text.made;
      return text.completed.cached;
    };
    const Ids first = timeline(23, 67);
    Ids answer;
    CHECK_EQ(cached(first, 9, 1, &answer), 0);
    Ids next = first;
    next.insert(next.end(), answer.begin(), answer.end());
    next.insert(next.end(), {3, 1, 4});
    CHECK_EQ(cached(next, 5, 2), 31);  // the id made last was not run
    CHECK_EQ(cached(next, 5, 3), 34);  // all but the last
    CHECK_EQ(cached(next, 5, 4), 34);
    Ids other = next;
    other[25] = (other[25] + 1) % 67;
    // A point is where the last prompt ended; the one of the first turn is gone.
    CHECK_EQ(cached(other, 5, 5), model.rewinds ? 25 : 0);
    other = next;
    other.insert(other.end(), {66, 66});
    const Ids longer = other;
    CHECK_EQ(cached(longer, 30, 6), model.rewinds ? 25 : 34);
    other.insert(other.end(), {1, 2, 3});
    // Behind 36 ids the answer is another one. With a window it was longer than the ring.
    CHECK_EQ(cached(other, 5, 7), model.rewinds && model.window == 0 ? 37 : 36);
  }
}

// Words that many conversations begin with are copied from one that is longer, which can go on afterwards.
TEST(conversations_that_begin_in_the_same_way) {
  const SmallModel& model = small_models()[0];
  Alone alone(model);
  Scheduled scheduled(model.options(), model.path, 3);
  Ids system = timeline(10, 67);
  for (const i32 from : {0, 1, 2, 0, 1, 2}) {
    Ids prompt = system;
    for (i32 i = 0; i < 40; i++)
      prompt.push_back((from * 20 + i) % 67);
    Asked text(prompt, 6, 1);
    const bool first = scheduled.scheduler.metrics().prompt_tokens == 0;
    const bool known = scheduled.scheduler.metrics().prompt_tokens >= 150;
    scheduled.complete(text);
    CHECK_EQ(text.completed.cached, first ? 0 : known ? 49 : 10);
    alone(text);
    CHECK_EQ(listed(text.made), listed(alone.made));
  }
}

// Who wants the log probabilities of a prompt hears of each of its ids but the first, also where they need not be run again.
TEST(log_probabilities_of_a_prompt) {
  for (const SmallModel& model : small_models()) {
    Alone alone(model);
    Scheduled scheduled(model.options(), model.path, 3);
    Asked before(timeline(20, 67), 4, 1), beside(timeline(20, 67), 12, 2), text(timeline(20, 67), 4, 3);
    scheduled.complete(before);
    static std::vector<std::pair<i64, f32>> told;
    static const Scheduler* scheduler;
    scheduler = &scheduled.scheduler;
    told.clear();
    CompletionListener listener = ASKED;
    listener.prompt = [](void* self, i64 index) {
      const i32 id = static_cast<Asked*>(self)->prompt[static_cast<size_t>(index)];
      told.emplace_back(index, scheduler->log_probabilities().of(id));
    };
    scheduled.ask(beside);
    text.request.prompt = span_of(text.prompt);
    text.request.prompt_log_probabilities = true;
    text.request.listener = &listener;
    text.request.context = &text;
    scheduled.scheduler.submit(text.request);
    scheduled.run_all();
    CHECK_EQ(text.completed.cached, 0);
    CHECK_EQ(told.size(), size_t{19});
    LogProbabilities expected;
    Arena size;
    expected.place(size, alone.open.engine.model.vocab);
    std::vector<u8> bytes(static_cast<size_t>(size.used()) + 64);
    u8* aligned = bytes.data() + (64 - reinterpret_cast<uintptr_t>(bytes.data()) % 64);
    Arena arena(aligned, size.used());
    expected.place(arena, alone.open.engine.model.vocab);
    alone.open.engine.sessions[0].restart();
    for (size_t i = 0; i < told.size(); i++) {
      CHECK(alone.open.run(0, {text.prompt[i]}));
      expected.read(alone.open.engine.kernels, logits_row(alone.open.engine, 0), 0);
      CHECK_EQ(told[i].first, static_cast<i64>(i) + 1);
      CHECK_EQ(told[i].second, expected.of(text.prompt[i + 1]));
    }
    for (Asked* one : {&beside, &text}) {
      alone(*one);
      CHECK_EQ(model.name + listed(one->made), model.name + listed(alone.made));
    }
  }
}

// --- Joining, leaving, ending ---------------------------------------------------------------------------------------------

namespace {

const SmallModel& plain() {
  return small_models()[0];
}

Ids counted(i32 from, i32 count) {
  Ids ids;
  for (i32 i = 0; i < count; i++)
    ids.push_back((from + i) % 67);
  return ids;
}

}  // namespace

// At each moment between its arrival and its end, by somebody else or by who hears of it: the others do not notice.
TEST(cancelled_at_every_stage) {
  const SmallModel& model = plain();
  Alone alone(model);
  for (const char* when :
       {"waiting", "reading", "making", "at an id", "at a text", "at the last text", "at another's end"}) {
    for (i32 after = 0; after < 6; after++) {
      Scheduled scheduled(model.options(), model.path, 3, 4);
      Asked first(counted(1, 20), 12, 1), second(counted(5, 30), 12, 2), third(counted(9, 40), 12, 3),
          last(counted(2, 9), 6, 4);
      const std::string stage = when;
      Asked& gone = stage == "waiting" ? last : second;
      const auto cancel = [&] { scheduled.scheduler.cancel(gone.id); };
      i32 heard = 0;
      const auto cancel_after = [&] {
        if (heard++ == after) cancel();
      };
      if (stage == "at an id") second.at_id = cancel_after;
      if (stage == "at a text") second.at_text = cancel_after;
      if (stage == "at the last text") {  // the last digit is held back to the end
        for (const char* stop : {"0z", "1z", "2z", "3z", "4z", "5z", "6z", "7z", "8z", "9z"})
          CHECK(second.request.options.stop.add(stop));
        second.request.options.count = after + 1;
        second.at_text = [&] {
          if (heard++ == second.request.options.count) cancel();
        };
      }
      if (stage == "at another's end") {
        first.request.options.count = after + 1;
        first.at_end = cancel;
      }
      for (Asked* text : {&first, &second, &third, &last})
        scheduled.ask(*text);
      const i32 passes = stage == "waiting" ? after : stage == "reading" ? after % 2 : stage == "making" ? 8 + after : 0;
      for (i32 i = 0; i < passes; i++)
        scheduled.scheduler.step();
      if (passes > 0 || stage == "waiting" || stage == "reading") {
        CHECK_EQ(gone.ended, 0);
        cancel();
      }
      const size_t told = gone.made.size();
      scheduled.run_all();
      const std::string name = stage + " " + std::to_string(after) + ": ";
      CHECK_EQ(name + std::to_string(gone.ended), name + "0");
      if (stage == "at an id" || stage == "at a text") {
        CHECK_EQ(gone.made.size(), static_cast<size_t>(after) + 1);
      } else if (stage != "at the last text" && stage != "at another's end") {
        CHECK_EQ(gone.made.size(), told);
      }
      for (Asked* text : {&first, &second, &third, &last}) {
        if (text == &gone) continue;
        alone(*text);
        CHECK_EQ(name + listed(text->made), name + listed(alone.made));
        CHECK_EQ(text->ended, 1);
      }
      cancel();  // once more: nothing
      CHECK_EQ(scheduled.scheduler.room(), 7);
    }
  }
}

// Who hears of an end asks for more at once, in the place that became free.
TEST(an_end_asks_for_the_next) {
  const SmallModel& model = plain();
  Alone alone(model);
  Scheduled scheduled(model.options(), model.path, 2, 0);
  Asked first(counted(1, 10), 5, 1), second(counted(7, 10), 15, 2), next(counted(3, 10), 5, 3);
  first.at_end = [&] {
    CHECK_EQ(scheduled.scheduler.room(), 1);
    scheduled.ask(next);
    CHECK_EQ(scheduled.scheduler.room(), 0);
  };
  scheduled.ask(first);
  scheduled.ask(second);
  CHECK_EQ(scheduled.scheduler.room(), 0);
  scheduled.run_all();
  for (Asked* text : {&first, &second, &next}) {
    alone(*text);
    CHECK_EQ(listed(text->made), listed(alone.made));
  }
}

// The deadline of three comes when one of them is being made, one is read and one waits. Where the machine was too slow for that, it
// comes later.
TEST(deadlines_end_with_what_there_is) {
  const SmallModel& model = plain();
  Alone alone(model);
  for (i64 wait = 20'000'000;; wait *= 4) {
    Scheduled scheduled(model.options(), model.path, 2);
    Asked making(counted(1, 4), 12, 1), reading(counted(5, 60), 12, 2), waiting(counted(9, 9), 12, 3),
        whole(counted(3, 30), 12, 4);
    const i64 deadline = now_ns() + wait;
    bool in_time = false;
    making.at_id = [&] {
      if (making.made.size() != 3) return;
      in_time = now_ns() < deadline;
      sleep_until_ns(deadline);
    };
    for (Asked* text : {&making, &reading, &waiting, &whole}) {
      if (text != &whole) text->request.deadline = deadline;
      scheduled.ask(*text);
    }
    scheduled.run_all();
    if (!in_time) continue;
    const struct {
      const char* name;
      Asked& text;
      size_t made;
      bool timed_out;
    } cases[] = {{"making", making, 3, true},
                 {"reading", reading, 0, true},
                 {"waiting", waiting, 0, true},
                 {"whole", whole, 12, false}};
    for (const auto& one : cases) {
      const std::string name = std::string(one.name) + ": ";
      CHECK_EQ(name + std::to_string(one.text.ended), name + "1");
      CHECK_EQ(name + std::to_string(one.text.completed.made), name + std::to_string(one.made));
      CHECK_EQ(one.text.completed.timed_out, one.timed_out);
      CHECK_EQ(one.text.words(), "");
      alone(one.text);
      alone.made.resize(one.made);
      CHECK_EQ(name + listed(one.text.made), name + listed(alone.made));
    }
    CHECK_EQ(waiting.completed.slot, -1);
    CHECK_EQ(scheduled.scheduler.metrics().deadline_misses, u64{3});
    break;
  }
}

TEST(a_deadline_that_has_passed) {
  Scheduled scheduled(plain().options(), plain().path, 2);
  Asked late(counted(3, 5), 5, 1);
  late.request.deadline = 1;
  scheduled.complete(late);
  CHECK_EQ(late.completed.timed_out, true);
  CHECK_EQ(late.completed.slot, -1);
}

TEST(what_ends_a_text) {
  const struct {
    const char* name;
    std::string script, stop;
    i32 count;
    bool closes;
    Ending ending;
    i32 made;
    const char* text;
  } cases[] = {
      {"its length", "hello", "", 3, false, Ending::length, 3, "hel"},
      {"no length", "hello", "", 0, false, Ending::length, 0, ""},
      {"a stop string", "the END of it", "END", 20, false, Ending::stop_string, 7, "the "},
      {"half a stop string", "the END", "END", 6, false, Ending::length, 6, "the EN"},
      {"half a character", "a\xc3\xa9", "", 2, false, Ending::length, 2, "a\xef\xbf\xbd"},
      {"a listener that went", "hello", "", 3, true, Ending::sink_closed, 1, "h"},
  };
  for (const auto& one : cases) {
    Scheduled scheduled(plain().options(), write_script(Script(one.script)), 2);
    Asked text({5, 6, 7}, one.count, 1), same({5, 6, 7}, one.count, 1);
    if (!one.stop.empty()) CHECK(text.request.options.stop.add(one.stop.c_str()));
    text.closes = one.closes;
    scheduled.ask(text);
    scheduled.ask(same);
    scheduled.run_all();
    const std::string name = std::string(one.name) + ": ";
    CHECK_EQ(name + text.text, name + one.text);
    CHECK_EQ(name + std::to_string(text.completed.made), name + std::to_string(one.made));
    CHECK(text.completed.ending == one.ending);
    CHECK(same.completed.ending == Ending::length);
  }
  Scheduled scheduled(plain().options(), write_script(Script("hi").then(Script::STOP)), 2);
  Asked text({5, 6, 7}, 9, 1);
  scheduled.complete(text);
  CHECK_EQ(text.text + " " + std::to_string(text.completed.made) + listed(text.made), "hi 3104 105 ");
}

// --- Limits ---------------------------------------------------------------------------------------------------------------

TEST(prompts_and_the_context) {
  const SmallModel& model = plain();
  Alone alone(model);
  Scheduled scheduled(model.options(), model.path, 2);
  const struct {
    i32 prompt, count, made;
  } cases[] = {{96, 5, 1}, {95, 5, 2}, {90, 200, 7}, {1, 300, 96}};
  for (const auto& one : cases) {
    Asked text(counted(1, one.prompt), one.count, 3);
    text.request.options.ignore_stop_ids = true;
    scheduled.complete(text);
    CHECK_EQ(text.completed.made, one.made);
    CHECK(text.completed.ending == Ending::length);
    text.request.options.count = one.made;
    alone(text);
    CHECK_EQ(listed(text.made), listed(alone.made));
  }
  const auto refused = [](const Scheduler& scheduler, const Ids& ids) {
    return std::string(scheduler.check_prompt(span_of(ids)).text());
  };
  CHECK_EQ(refused(scheduled.scheduler, counted(0, 96)), "");
  CHECK_EQ(
      refused(scheduled.scheduler, counted(0, 97)),
      "the prompt has 97 tokens, the context is of 96: shorten it, or start the server with --window 96 --ctx 97, which "
      "sees the last 96 of them");
  CHECK_EQ(refused(scheduled.scheduler, {1, 67}), "token id 67 is not in the vocabulary of 67 ids");
  EngineOptions small = model.options();
  small.context = 32;
  Scheduled less(small, model.path, 1);
  CHECK_EQ(
      refused(less.scheduler, counted(0, 33)),
      "the prompt has 33 tokens, the context is of 32: shorten it, or start the server with --ctx 33 or more, up to 96");
  small.window = 21;
  Scheduled endless_one(small, model.path, 1);
  CHECK_EQ(refused(endless_one.scheduler, counted(0, 33)),
           "the prompt has 33 tokens, the context is of 32: shorten it, or start the server with --ctx 33 or more");
}

// Texts far past the context, of models that keep no positions or see a window of them; the prompt is read anew afterwards.
TEST(texts_without_an_end) {
  for (const SmallModel& model : small_models()) {
    Alone alone(model);
    if (!endless(alone.open.engine)) continue;
    Scheduled scheduled(model.options(), model.path, 2);
    for (u64 seed = 1; seed <= 3; seed++) {
      Asked text(counted(1, 30), 250, seed);
      text.request.options.ignore_stop_ids = true;
      scheduled.complete(text);
      CHECK_EQ(text.completed.made, 250);
      CHECK_EQ(text.completed.cached, seed == 1 ? 0 : 29);
      alone(text);
      CHECK_EQ(model.name + listed(text.made), model.name + listed(alone.made));
    }
  }
}

TEST(a_full_queue) {
  Scheduled scheduled(plain().options(), plain().path, 2, 3);
  std::vector<std::unique_ptr<Asked>> texts;
  for (i32 i = 0; i < 5; i++) {
    CHECK_EQ(scheduled.scheduler.room(), 5 - i);
    texts.push_back(std::make_unique<Asked>(counted(i, 5), 4, static_cast<u64>(i)));
    scheduled.ask(*texts.back());
    CHECK_EQ(scheduled.scheduler.waiting(), i + 1);
  }
  CHECK_EQ(scheduled.scheduler.room(), 0);
  scheduled.scheduler.step();
  CHECK_EQ(scheduled.scheduler.busy(), 2);
  CHECK_EQ(scheduled.scheduler.waiting(), 3);
  CHECK_EQ(scheduled.scheduler.room(), 0);
  scheduled.run_all();
  CHECK_EQ(scheduled.scheduler.room(), 5);
  CHECK_EQ(scheduled.scheduler.step(), false);
}

// A signal stops nothing but the pass.
TEST(a_signal_between_passes) {
  const SmallModel& model = plain();
  Alone alone(model);
  Scheduled scheduled(model.options(), model.path, 2);
  Asked text(counted(1, 30), 12, 3);
  scheduled.ask(text);
  for (i32 i = 0; scheduled.scheduler.busy() + scheduled.scheduler.waiting() > 0; i++) {
    set_interrupted(i % 2 == 0);
    CHECK(scheduled.scheduler.step());
  }
  set_interrupted(false);
  alone(text);
  CHECK_EQ(listed(text.made), listed(alone.made));
}

// --- Weights that are not numbers -------------------------------------------------------------------------------------------

// Makes the embeddings of the ids from 64 on something that is not a number.
static void spoil(const std::string& path) {
  std::string bytes = read_file(path);
  Aligned copy({bytes.begin(), bytes.end()});
  ModelFile file;
  CHECK(file.open(copy.span).ok());
  const TensorEntry& embed = *file.find("embed");
  const u64 panel = 16 * embed.shape[1] * sizeof(f32);
  std::fill_n(bytes.begin() + static_cast<i64>(embed.offset + 4 * panel), panel, '\xff');
  write_file(path, bytes);
}

// Whoever is in a pass with it ends with the words, and nothing that it has left is used again.
TEST(values_that_are_not_finite) {
  for (const char* blocks : {"attention ffn", "mamba2 ffn | attention ffn", "retention ffn"}) {
    ModelRecipe recipe;
    recipe.blocks = blocks;
    recipe.embedding = recipe.matrices = Format::F32;
    recipe.scale = Scale::none;
    recipe.activations = Quantization::none;
    recipe.tied = false;
    SmallModel model = plain();
    model.path = temporary_path("not_finite.tm2");
    write_model(recipe, model.path);
    Alone alone(model);
    u64 seed = 0;
    const auto good = [&](i32 from) {  // one that draws no such id
      for (;;) {
        auto text = std::make_unique<Asked>(counted(from, 20), 40, ++seed);
        text->request.options.ignore_stop_ids = true;
        alone(*text);
        if (std::all_of(alone.made.begin(), alone.made.end(), [](i32 id) { return id < 64; })) return text;
      }
    };
    const auto first = good(1), second = good(9), again = good(1), waiting = good(9);
    const std::string spoilt = temporary_path("spoilt.tm2");
    write_model(recipe, spoilt);
    spoil(spoilt);
    Scheduled scheduled(model.options(), spoilt, 3);
    scheduled.ask(*first);
    scheduled.ask(*second);
    while (first->made.empty() || second->made.empty())
      scheduled.scheduler.step();
    Asked bad({1, 2, 3, 65, 4}, 40, 1);
    scheduled.ask(bad);
    scheduled.scheduler.step();
    scheduled.ask(*waiting);  // it begins as the second does, and would have gone first
    scheduled.run_all();
    for (Asked* text : {first.get(), second.get(), &bad}) {
      CHECK_EQ(text->words(), "layer 0 gave values that are not finite at position 3");
      CHECK_EQ(text->ended, 1);
    }
    scheduled.complete(*again);
    for (const Asked* text : {waiting.get(), again.get()}) {
      alone(*text);
      CHECK_EQ(listed(text->made), listed(alone.made));
      CHECK_EQ(text->completed.cached, 0);
    }
  }
}

// --- Prompts that are read beside others ------------------------------------------------------------------------------------

// The choices of one prompt: it is run once. Where all of a state is written over, it is copied as it stood before the last id.
TEST(choices_of_one_prompt) {
  for (const SmallModel& model : small_models()) {
    Alone alone(model);
    Scheduled scheduled(model.options(), model.path, 5);
    std::vector<std::unique_ptr<Asked>> choices;
    for (u64 seed = 1; seed <= 5; seed++) {
      choices.push_back(std::make_unique<Asked>(counted(3, 50), 12, seed));
      scheduled.ask(*choices.back());
    }
    scheduled.run_all();
    for (const auto& text : choices) {
      alone(*text);
      CHECK_EQ(model.name + listed(text->made), model.name + listed(alone.made));
      CHECK_EQ(text->completed.cached, text == choices[0] ? 0 : 49);
    }
    // Others with the same beginning, who come while it is read.
    Asked one(counted(9, 60), 8, 1), two(counted(9, 45), 8, 2), three(counted(9, 40), 8, 3);
    one.prompt[50] = two.prompt[40] = three.prompt[39] = 1;
    scheduled.ask(one);
    scheduled.scheduler.step();
    scheduled.ask(two);
    scheduled.ask(three);
    scheduled.run_all();
    const Asked* const all[] = {&one, &two, &three};
    const i32 cached[] = {0, 40, 39};
    for (i32 i = 0; i < 3; i++) {
      alone(*all[i]);
      CHECK_EQ(model.name + listed(all[i]->made), model.name + listed(alone.made));
      CHECK_EQ(model.name + std::to_string(all[i]->completed.cached), model.name + std::to_string(cached[i]));
    }
  }
}

// One that waits is waited for as well, in slots of any order.
TEST(prompts_that_wait_for_one_that_waits) {
  for (const SmallModel& model : small_models()) {
    Alone alone(model);
    Scheduled scheduled(model.options(), model.path, 3);
    std::vector<std::unique_ptr<Asked>> before;  // so that the slots are taken from the last to the first
    for (const i32 from : {20, 40, 60, 60, 40, 20}) {
      before.push_back(std::make_unique<Asked>(counted(from, 6), 1, 1));
      scheduled.complete(*before.back());
      CHECK_EQ(before.back()->completed.slot, from / 20 - 1);
    }
    Asked first(counted(3, 70), 5, 1), second(counted(3, 70), 5, 2), third(counted(3, 60), 5, 3);
    third.prompt[40] = 1;
    for (Asked* text : {&first, &second, &third})
      scheduled.ask(*text);
    scheduled.run_all();
    i32 slot = 2;
    for (Asked* text : {&first, &second, &third}) {
      CHECK_EQ(text->completed.slot, slot--);
      alone(*text);
      CHECK_EQ(model.name + listed(text->made), model.name + listed(alone.made));
    }
    CHECK_EQ(second.completed.cached, 69);
    if (model.rewinds && model.window == 0) CHECK_EQ(third.completed.cached, 40);
  }
}

// Whoever was waited for goes away, at any time: the next one takes what there is and goes on.
TEST(a_prompt_that_is_waited_for_goes) {
  for (const SmallModel& model : small_models()) {
    Alone alone(model);
    for (i32 after = 0; after < 5; after++) {
      Scheduled scheduled(model.options(), model.path, 4);
      Asked first(counted(3, 70), 5, 1), second(counted(3, 70), 5, 2), third(counted(3, 50), 5, 3);
      for (Asked* text : {&first, &second, &third})
        scheduled.ask(*text);
      for (i32 i = 0; i < after; i++)
        scheduled.scheduler.step();
      scheduled.scheduler.cancel(first.id);
      scheduled.run_all();
      for (Asked* text : {&second, &third}) {
        CHECK_EQ(text->ended, 1);
        alone(*text);
        CHECK_EQ(model.name + listed(text->made), model.name + listed(alone.made));
      }
    }
  }
}

// A short prompt is soon read beside a long one, and the long one is not held up for long by short ones without an end.
TEST(prompts_share_a_pass) {
  Scheduled scheduled(plain().options(), plain().path, 4);
  Asked first(counted(0, 90), 1, 1), beside(counted(30, 24), 1, 2);
  scheduled.ask(first);
  scheduled.ask(beside);
  i32 passes = 0;
  while (!beside.ended) {
    scheduled.scheduler.step();
    passes++;
  }
  CHECK_EQ(passes, 3);  // of 16 ids, half of them
  while (!first.ended) {
    scheduled.scheduler.step();
    passes++;
  }
  CHECK_EQ(passes, 8);  // 114 ids

  Asked longest(counted(5, 96), 1, 1);
  scheduled.ask(longest);
  std::vector<std::unique_ptr<Asked>> stream;
  for (passes = 0; !longest.ended; passes++) {
    for (i32 i = 0; i < 2; i++) {
      stream.push_back(std::make_unique<Asked>(Ids(9, passes * 2 + i), 1, 1));
      scheduled.ask(*stream.back());
    }
    scheduled.scheduler.step();
  }
  CHECK(passes <= 2 * 96 / 16);
  scheduled.run_all();
}
