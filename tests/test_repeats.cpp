// Texts that go in a circle: at which id they are found, against the definition, and what `generate` makes of them.
#include "engine/repeats.h"

#include <algorithm>
#include <string>
#include <vector>

#include "check.h"
#include "engine/generate.h"
#include "open_engine.h"
#include "scripted_model.h"

using namespace edgellm;

namespace {

// The last `ids` ids are periods of that many.
bool goes_round(const std::vector<i32>& text, size_t period, size_t ids) {
  if (text.size() < ids) return false;
  for (size_t i = text.size() - ids + period; i < text.size(); i++)
    if (text[i] != text[i - period]) return false;
  return true;
}

bool definition(const std::vector<i32>& text) {
  for (size_t period = 1; period <= 32; period++)
    if (goes_round(text, period, std::max<size_t>(64, 4 * period))) return true;
  return false;
}

// After how many ids a circle is found; 0: it is not.
size_t found_after(const std::vector<i32>& text) {
  RepeatWatch watch;
  for (size_t i = 0; i < text.size(); i++)
    if (watch.push(text[i])) return i + 1;
  return 0;
}

std::vector<i32> cycles(i32 before, i32 period, i32 ids) {
  std::vector<i32> text;
  for (i32 i = 0; i < before; i++)
    text.push_back(1000 + i);
  for (i32 i = 0; i < ids; i++)
    text.push_back(i % period);
  return text;
}

}  // namespace

TEST(circles_of_every_length) {
  struct Case {
    i32 before, period, ids;
    size_t found;
  };
  const Case cases[] = {
      {0, 1, 63, 0},     {0, 1, 64, 64},  {0, 2, 200, 64},    {0, 7, 200, 64},       {0, 16, 200, 64}, {0, 17, 200, 68},
      {0, 31, 300, 124}, {0, 32, 127, 0}, {0, 32, 128, 128},  {0, 33, 1000, 0},      {5, 1, 100, 69},  {100, 10, 100, 164},
      {3, 32, 200, 131}, {40, 3, 63, 0},  {1000, 32, 127, 0}, {1000, 32, 128, 1128},
  };
  for (const Case& c : cases)
    CHECK_EQ(found_after(cycles(c.before, c.period, c.ids)), c.found);
}

TEST(as_the_definition_says) {
  u64 state = 3;
  auto draw = [&](u64 below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<i32>((state >> 33) % below);
  };
  i64 wrong = 0, found = 0;
  for (int round = 0; round < 60; round++) {
    std::vector<i32> text;
    RepeatWatch watch;
    while (text.size() < 500) {  // stretches of cycles, with a slip now and then
      const i32 period = 1 + draw(36), ids = draw(160);
      std::vector<i32> cycle;
      for (i32 i = 0; i < period; i++)
        cycle.push_back(draw(3));
      for (i32 i = 0; i < ids; i++) {
        text.push_back(draw(200) == 0 ? 9 : cycle[static_cast<size_t>(i % period)]);
        const bool circle = watch.push(text.back());
        wrong += circle != definition(text);
        found += circle;
      }
    }
  }
  CHECK_EQ(wrong, 0);
  CHECK(found > 100);
}

TEST(what_generate_makes_of_them) {
  Script script("abcde fghi jklm nopq ");  // 21 ids: found at 84
  script.context = 400;
  EngineOptions small;
  small.threads = 1;
  small.text_bytes = 100;
  OpenEngine open(small, write_script(script));
  struct Case {
    bool asked;
    const char* stop;
    i32 count;
    Ending ending;
    i32 made;
  };
  const Case cases[] = {
      {false, nullptr, 200, Ending::length, 200},
      {true, nullptr, 200, Ending::repetition, 84},
      {true, nullptr, 84, Ending::repetition, 84},
      {true, nullptr, 83, Ending::length, 83},
      {true, "q", 200, Ending::stop_string, 20},
      {true, nullptr, 200, Ending::repetition, 84},  // nothing is left of the text before
  };
  std::string whole;
  for (const Case& c : cases) {
    Session& session = open.engine.sessions[0];
    session.restart();
    GenerateOptions options;
    options.sampling.temperature = 0;
    options.count = c.count;
    options.stop_repeats = c.asked;
    if (c.stop) CHECK(options.stop.add(c.stop));
    std::string text;
    Generated made;
    const i32 prompt = 5;
    const Status status = generate(
        open.engine, session, {&prompt, 1}, options,
        [](void* to, Text piece) {
          static_cast<std::string*>(to)->append(piece.data, static_cast<size_t>(piece.size));
          return true;
        },
        &text, &made);
    CHECK(status.ok());
    CHECK_EQ(static_cast<int>(made.ending), static_cast<int>(c.ending));
    CHECK_EQ(made.count, c.made);
    if (whole.empty()) whole = text;
    CHECK_EQ(text, whole.substr(0, static_cast<size_t>(c.stop ? 19 : c.made)));
  }
}
