// Sampling and stop strings against plain implementations, over random logits, options and texts.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "check.h"
#include "engine/sample.h"
#include "engine/stop.h"
#include "platform/cpu.h"

using namespace edgellm;

namespace {

constexpr f64 CLOSE = 1e-5;  // what lies nearer to a bound than this may fall on either side of it in f32

struct Plain {
  i32 id;
  bool certain = true;
};

// In f64, by the words of sample.h.
Plain sample_plainly(const std::vector<f32>& logits, const SamplingOptions& options, const std::vector<i32>& recent,
                     i64 position) {
  const i32 vocab = static_cast<i32>(logits.size());
  std::vector<f64> x(logits.begin(), logits.end());
  const size_t from = recent.size() > 64 ? recent.size() - 64 : 0;
  for (i32 id : std::set<i32>(recent.begin() + static_cast<long>(from), recent.end())) {
    f64& logit = x[static_cast<size_t>(id)];
    const f64 penalty = static_cast<f64>(options.repeat_penalty);
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
  const f64 top = *std::max_element(x.begin(), x.end());
  if (options.temperature == 0) return {static_cast<i32>(std::find(x.begin(), x.end(), top) - x.begin())};

  std::vector<f64> p;
  for (f64 logit : x)
    p.push_back(std::exp((logit - top) / static_cast<f64>(options.temperature)));
  const f64 all = std::accumulate(p.begin(), p.end(), 0.0), largest = *std::max_element(p.begin(), p.end()) / all;
  Plain answer = {-1};
  std::vector<i32> left;
  for (i32 id = 0; id < vocab; id++) {
    f64& share = p[static_cast<size_t>(id)];
    share /= all;
    const f64 least = static_cast<f64>(options.min_p) * largest;
    if (share >= least) left.push_back(id);
    if (options.min_p != 1 && std::abs(share - least) < CLOSE * least) answer.certain = false;
  }
  auto share = [&](i32 id) { return p[static_cast<size_t>(id)]; };
  if (options.top_k > 0 || options.top_p < 1) {
    std::sort(left.begin(), left.end(), [&](i32 a, i32 b) { return share(a) != share(b) ? share(a) > share(b) : a < b; });
    if (options.top_k > 0) left.resize(std::min(left.size(), static_cast<size_t>(options.top_k)));
    f64 mass = 0, nucleus = 0;
    for (i32 id : left)
      mass += share(id);
    size_t size = 0;
    const f64 wanted = static_cast<f64>(options.top_p) * mass;
    while (size < left.size() && (size == 0 || nucleus < wanted)) {
      nucleus += share(left[size++]);
      if (options.top_p < 1 && std::abs(nucleus - wanted) < CLOSE) answer.certain = false;
    }
    left.resize(size);
  }
  f64 mass = 0, sum = 0;
  for (i32 id : left)
    mass += share(id);
  const f64 target = random_unit(options.seed, static_cast<u64>(position)) * mass;
  for (i32 id : left) {
    sum += share(id);
    if (std::abs(sum - target) < CLOSE) answer.certain = false;
    if (answer.id < 0 && (target < sum || id == left.back())) answer.id = id;
  }
  return answer;
}

i32 sample_here(std::vector<f32> logits, const SamplingOptions& options, const std::vector<i32>& recent, i64 position) {
  static Kernels kernels;
  static const bool selected = select_kernels(nullptr, cpu_features(), &kernels);
  CHECK(selected);
  std::vector<i32> order(logits.size());
  return sample(kernels, logits.data(), static_cast<i32>(logits.size()), options,
                {recent.data(), static_cast<i64>(recent.size())}, position, order.data());
}

}  // namespace

// Logits are few different numbers, so that many are equal.
TEST(all_options_together) {
  std::mt19937 random(5);
  auto one_of = [&](const std::vector<f32>& values) { return values[random() % values.size()]; };
  i32 certain = 0, not_greedy = 0;
  constexpr i32 ROUNDS = 6000;
  for (i32 round = 0; round < ROUNDS; round++) {
    const size_t vocab = std::vector<size_t>{1, 2, 5, 30, 200}[random() % 5];
    const f32 unit = one_of({0.25f, 0.5f, 1});
    std::vector<f32> logits(vocab);
    for (f32& logit : logits)
      logit = unit * static_cast<f32>(static_cast<i32>(random() % 21) - 10);
    SamplingOptions options;
    options.temperature = one_of({0, 0.5f, 1, 1.5f, 4, 100});
    options.top_p = one_of({0, 1e-6f, 0.1f, 0.5f, 0.9f, 0.99f, 1, 1});
    options.top_k = static_cast<i32>(one_of({0, 0, 1, 2, 3, 10, 29, 30, 31, 1000}));
    options.min_p = one_of({0, 0, 0.01f, 0.1f, 0.3f, 0.9f, 1});
    options.repeat_penalty = one_of({1, 1, 1.25f, 2, 0.5f, 100, 0.01f});
    options.seed = random();
    std::vector<i32> recent(random() % 4 ? random() % 130 : 0);
    for (i32& id : recent)
      id = static_cast<i32>(random() % vocab);
    const i64 position = static_cast<i64>(random());
    const Plain expected = sample_plainly(logits, options, recent, position);
    const i32 id = sample_here(logits, options, recent, position);
    CHECK(id >= 0 && id < static_cast<i32>(vocab));
    if (!expected.certain) continue;
    CHECK_EQ(id, expected.id);
    certain++;
    not_greedy += logits[static_cast<size_t>(id)] < *std::max_element(logits.begin(), logits.end());
  }
  CHECK(certain > ROUNDS * 9 / 10);
  CHECK(not_greedy > ROUNDS / 10);
}

// The share that top-p speaks of is one of what min-p and top-k left: 0.5 of {0.4, 0.3, 0.2} is two ids, of all it would be two
// too, but 0.5 of {0.4, 0.3} is one of 0.35.
TEST(top_p_is_a_share_of_what_is_left) {
  const std::vector<f64> p = {0.1, 0.4, 0.3, 0.2};
  std::vector<f32> logits;
  for (f64 share : p)
    logits.push_back(static_cast<f32>(std::log(share)));
  auto seen = [&](f32 top_p, i32 top_k, f32 min_p) {
    std::set<i32> ids;
    for (i64 position = 0; position < 500; position++)
      ids.insert(sample_here(logits, {.temperature = 1, .top_p = top_p, .top_k = top_k, .min_p = min_p}, {}, position));
    return ids;
  };
  using Set = std::set<i32>;
  CHECK(seen(0.5f, 0, 0) == (Set{1, 2}));
  CHECK(seen(0.5f, 2, 0) == (Set{1}));     // 0.4 >= 0.35
  CHECK(seen(0.6f, 2, 0) == (Set{1, 2}));  // 0.4 < 0.42
  CHECK(seen(0.5f, 0, 0.7f) == (Set{1}));
  CHECK(seen(0.6f, 0, 0.7f) == (Set{1, 2}));
  CHECK(seen(0.78f, 0, 0) == (Set{1, 2, 3}));
  CHECK(seen(0.78f, 3, 0) == (Set{1, 2, 3}));  // 0.7 < 0.702
  CHECK(seen(0.77f, 3, 0) == (Set{1, 2}));     // 0.7 >= 0.693
  CHECK(seen(1, 0, 0) == (Set{0, 1, 2, 3}));
  CHECK(seen(0, 0, 0) == (Set{1}));
  CHECK(seen(1, 1, 0) == (Set{1}));
  CHECK(seen(1, 4, 0) == (Set{0, 1, 2, 3}));
  CHECK(seen(1, 5, 0) == (Set{0, 1, 2, 3}));
  CHECK(seen(1, 0, 1) == (Set{1}));
  CHECK(seen(1, 0, 0.26f) == (Set{1, 2, 3}));  // 0.1 is 0.25 of 0.4
  CHECK(seen(1, 0, 0.24f) == (Set{0, 1, 2, 3}));
}

// Ids that cannot be are never drawn, and of none that can be there is nothing to draw.
TEST(what_has_no_share_is_not_drawn) {
  const f32 never = -INFINITY;
  for (i64 position = 0; position < 200; position++) {
    for (const SamplingOptions& options :
         {SamplingOptions{.temperature = 100, .top_p = 1}, SamplingOptions{.temperature = 100, .top_p = 0.99f},
          SamplingOptions{.temperature = 100, .top_p = 1, .top_k = 4}}) {
      const i32 id = sample_here({never, 1, never, 1, never}, options, {}, position);
      CHECK(id == 1 || id == 3);
    }
  }
  CHECK_EQ(sample_here({NAN, NAN}, {.temperature = 1}, {}, 0), -1);
}

// Ids that are not in the vocabulary may be among the recent ones: of a run with more.
TEST(recent_ids_beyond_the_vocabulary) {
  SamplingOptions greedy = {.temperature = 0, .repeat_penalty = 4};
  CHECK_EQ(sample_here({3, 2}, greedy, {2, 1000, 0}, 0), 1);
  CHECK_EQ(sample_here({3, 2}, greedy, {2, 1000}, 0), 0);
  CHECK_EQ(sample_here({3, 2, 1}, greedy, {0, 2}, 0), 1);
  CHECK_EQ(sample_here({0, -1}, greedy, {0}, 0), 0);  // nothing to divide
  std::vector<i32> recent(REPEAT_SPAN, 1);
  recent[0] = 0;
  CHECK_EQ(sample_here({3, 2.5f, 1}, greedy, recent, 0), 2);  // the first of 64 still counts
}

namespace {

struct Stream {
  StopStrings stop;
  std::string out;
  bool whole = true;  // all that was given

  static void sink(void* self, Text text) {
    Stream& stream = *static_cast<Stream*>(self);
    stream.out.append(text.data, static_cast<size_t>(text.size));
    stream.whole &= text.size == 0 || (text[0] & 0xc0) != 0x80;
  }
};

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// What may be out after `text`, and whether a string ended it.
std::pair<std::string, bool> out_after(const std::string& text, const std::vector<std::string>& strings) {
  for (size_t end = 1; end <= text.size(); end++) {
    size_t longest = 0;
    for (const std::string& string : strings) {
      if (ends_with(text.substr(0, end), string)) longest = std::max(longest, string.size());
    }
    if (longest) return {text.substr(0, end - longest), true};
  }
  size_t held = 0;
  for (const std::string& string : strings) {
    for (size_t n = 1; n < string.size(); n++) {
      if (ends_with(text, string.substr(0, n))) held = std::max(held, n);
    }
  }
  return {text.substr(0, text.size() - held), false};
}

}  // namespace

// After each piece all is out that no string can take back, in whole characters.
TEST(stop_strings_in_random_texts) {
  std::mt19937 random(6);
  const std::string characters[] = {"a", "b", "a", "b", "\xc3\xa9", "\xf0\x9f\x91\x8d"};
  auto text_of = [&](size_t count) {
    std::string text;
    while (count-- > 0)
      text += characters[random() % 6];
    return text;
  };
  i32 stopped = 0, ended = 0;
  for (i32 round = 0; round < 3000; round++) {
    Stream stream;
    std::vector<std::string> strings;
    for (size_t i = random() % 5; i > 0; i--)
      strings.push_back(text_of(1 + random() % 6));
    for (const std::string& string : strings)
      CHECK(stream.stop.add({string.data(), static_cast<i64>(string.size())}));
    std::string text;
    bool stop = false;
    for (i32 i = 0; i < 8 && !stop; i++) {
      const std::string piece = text_of(random() % 5);
      text += piece;
      stop = stream.stop.push({piece.data(), static_cast<i64>(piece.size())}, Stream::sink, &stream);
      const auto [out, ends] = out_after(text, strings);
      CHECK_EQ(stream.out, out);
      CHECK_EQ(stop, ends);
    }
    CHECK(stream.whole);
    (stop ? stopped : ended)++;
    if (stop) continue;
    stream.stop.finish(Stream::sink, &stream);
    CHECK_EQ(stream.out, text);
    stream.stop.finish(Stream::sink, &stream);
    CHECK_EQ(stream.out, text);  // once
  }
  CHECK(stopped > 300 && ended > 300);
}

TEST(limits_of_stop_strings) {
  StopStrings stop;
  const std::string longest(256, 'x'), longer(257, 'x');
  CHECK(!stop.add(""));
  CHECK(!stop.add(longer.c_str()));
  for (i32 i = 0; i < 16; i++)
    CHECK(stop.add(longest.c_str()));
  CHECK(!stop.add("x"));
  // As many bytes as may be held back, and characters that never come to an end behind them.
  for (const std::string& end : {std::string("x"), std::string("\xf0\x9f\x91\x8d"), std::string(1000, '\x80')}) {
    Stream stream;
    CHECK(stream.stop.add(longest.c_str()));
    std::string text = longest.substr(1) + "y" + longest.substr(1) + end;
    const bool stops = end == "x";
    CHECK_EQ(stream.stop.push({text.data(), static_cast<i64>(text.size())}, Stream::sink, &stream), stops);
    CHECK_EQ(stream.out, stops ? longest.substr(1) + "y" : text);
  }
  // A reset forgets what was held back.
  Stream stream;
  CHECK(stream.stop.add("END"));
  CHECK(!stream.stop.push("aEN", Stream::sink, &stream));
  stream.stop.reset();
  CHECK(!stream.stop.push("Db", Stream::sink, &stream));
  CHECK_EQ(stream.out, "aDb");
}
