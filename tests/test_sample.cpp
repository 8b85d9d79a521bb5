// Sampling and stop strings.
#include <cmath>
#include <map>
#include <vector>

#include "check.h"
#include "engine/sample.h"
#include "engine/stop.h"
#include "platform/cpu.h"

using namespace edgellm;

namespace {

const Kernels& kernels() {
  static Kernels table;
  static const bool selected = select_kernels(nullptr, cpu_features(), &table);
  CHECK(selected);
  return table;
}

i32 draw(std::vector<f32> logits, const SamplingOptions& options, i64 position = 0, std::vector<i32> recent = {}) {
  std::vector<i32> order(logits.size());
  return sample(kernels(), logits.data(), static_cast<i32>(logits.size()), options,
                {recent.data(), static_cast<i64>(recent.size())}, position, order.data());
}

// How often each id comes in `n` draws at different positions.
std::map<i32, i32> count_draws(const std::vector<f32>& logits, const SamplingOptions& options, i32 n) {
  std::map<i32, i32> counts;
  for (i32 i = 0; i < n; i++)
    counts[draw(logits, options, i)]++;
  return counts;
}

SamplingOptions with(f32 temperature, f32 top_p, i32 top_k, f32 min_p) {
  SamplingOptions options;
  options.temperature = temperature;
  options.top_p = top_p;
  options.top_k = top_k;
  options.min_p = min_p;
  options.seed = 11;
  return options;
}

// Logits whose softmax is the given probabilities.
std::vector<f32> logits_of(const std::vector<f64>& probabilities) {
  std::vector<f32> logits;
  for (f64 p : probabilities)
    logits.push_back(static_cast<f32>(std::log(p)));
  return logits;
}

// The counts are what the shares say, within five standard deviations.
void check_shares(const std::map<i32, i32>& counts, const std::vector<f64>& shares, i32 n) {
  for (size_t id = 0; id < shares.size(); id++) {
    auto found = counts.find(static_cast<i32>(id));
    f64 count = found == counts.end() ? 0 : found->second, expected = shares[id] * n;
    CHECK(std::abs(count - expected) <= 5 * std::sqrt(n * shares[id] * (1 - shares[id])));
  }
}

}  // namespace

TEST(greedy_takes_the_lowest_of_equals_and_skips_nan) {
  SamplingOptions greedy = with(0, 0.9f, 0, 0);
  CHECK_EQ(draw({1, 5, 5, 2}, greedy), 1);
  CHECK_EQ(draw({NAN, 1, 3, NAN}, greedy), 2);
  CHECK_EQ(draw({NAN, NAN}, greedy), -1);
  CHECK_EQ(draw({-INFINITY, -INFINITY}, greedy), 0);
}

TEST(draws_follow_the_probabilities) {
  const std::vector<f64> p = {0.1, 0.4, 0.2, 0.25, 0.05};
  constexpr i32 N = 20000;
  check_shares(count_draws(logits_of(p), with(1, 1, 0, 0), N), p, N);
  // Temperature 0.5 squares the probabilities.
  f64 squares = 0;
  for (f64 x : p)
    squares += x * x;
  std::vector<f64> sharp;
  for (f64 x : p)
    sharp.push_back(x * x / squares);
  check_shares(count_draws(logits_of(p), with(0.5f, 1, 0, 0), N), sharp, N);
}

TEST(top_k_top_p_and_min_p_cut_the_tail) {
  const std::vector<f64> p = {0.1, 0.4, 0.2, 0.25, 0.05};
  constexpr i32 N = 20000;
  check_shares(count_draws(logits_of(p), with(1, 1, 2, 0), N), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, N);
  // 0.4 + 0.25 < 0.8 <= 0.4 + 0.25 + 0.2
  check_shares(count_draws(logits_of(p), with(1, 0.8f, 0, 0), N), {0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0}, N);
  // Of the best three, whose mass is 0.85, the nucleus of half: 0.4 < 0.425 <= 0.65
  check_shares(count_draws(logits_of(p), with(1, 0.5f, 3, 0), N), {0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, N);
  // At least half as probable as the best
  check_shares(count_draws(logits_of(p), with(1, 1, 0, 0.45f), N), {0, 0.4 / 0.85, 0.2 / 0.85, 0.25 / 0.85, 0}, N);
  CHECK_EQ(draw(logits_of(p), with(1, 0, 0, 0)), 1);
  CHECK_EQ(draw(logits_of(p), with(1, 0.9f, 1, 0)), 1);
}

TEST(a_large_vocabulary_ranks_rightly) {
  std::vector<f32> logits(5000, 0.0f);
  for (size_t i = 0; i < logits.size(); i++)
    logits[i] = static_cast<f32>(i * 7919 % 5000) * 0.002f;
  std::map<i32, i32> counts = count_draws(logits, with(1, 1, 5, 0), 300);
  CHECK_EQ(counts.size(), 5u);
  for (auto& [id, count] : counts)
    CHECK(logits[static_cast<size_t>(id)] >= 4995 * 0.002f - 1e-6f);
}

TEST(a_draw_is_a_function_of_seed_and_position) {
  const std::vector<f32> logits(1000, 0.0f);
  SamplingOptions a = with(1, 1, 0, 0), b = a;
  b.seed = 12;
  i32 same = 0, differ = 0;
  for (i64 position = 0; position < 100; position++) {
    same += draw(logits, a, position) == draw(logits, a, position);
    differ += draw(logits, a, position) != draw(logits, b, position);
  }
  CHECK_EQ(same, 100);
  CHECK(differ > 90);
}

TEST(the_repetition_penalty_lowers_what_was_there) {
  SamplingOptions greedy = with(0, 1, 0, 0);
  greedy.repeat_penalty = 2;
  CHECK_EQ(draw({3, 2, -1}, greedy, 0, {0}), 1);
  CHECK_EQ(draw({3, 2, -1}, greedy, 0, {}), 0);
  CHECK_EQ(draw({-1, -1.5f, -9}, greedy, 0, {0}), 1);      // negative logits are multiplied
  CHECK_EQ(draw({3, 2, -1}, greedy, 0, {0, 0, 0, 0}), 1);  // once, however often it was there
  std::vector<i32> old(REPEAT_SPAN + 1, 2);
  old[0] = 0;
  CHECK_EQ(draw({3, 2, -1}, greedy, 0, old), 0);  // beyond the span it is forgotten
}

namespace {

// What comes through for a stream pushed in pieces of `step` bytes, with "|" where it stopped.
std::string through(const std::vector<const char*>& strings, const std::string& stream, size_t step) {
  StopStrings stop;
  for (const char* text : strings)
    CHECK(stop.add(text));
  std::string out;
  auto sink = [](void* context, Text text) {
    static_cast<std::string*>(context)->append(text.data, static_cast<size_t>(text.size));
  };
  for (size_t at = 0; at < stream.size(); at += step) {
    std::string piece = stream.substr(at, step);
    if (stop.push({piece.data(), static_cast<i64>(piece.size())}, sink, &out)) return out + "|";
  }
  stop.finish(sink, &out);
  return out;
}

}  // namespace

TEST(stop_strings) {
  for (size_t step : {1u, 2u, 3u, 100u}) {
    CHECK_EQ(through({}, "hello", step), "hello");
    CHECK_EQ(through({"END"}, "the END of it", step), "the |");
    CHECK_EQ(through({"END"}, "the EN", step), "the EN");
    CHECK_EQ(through({"END"}, "EENEND", step), "EEN|");
    CHECK_EQ(through({"aab"}, "aaaaab", step), "aaa|");
    CHECK_EQ(through({"abcabd"}, "abcabcabd", step), "abc|");
    CHECK_EQ(through({"xyz", "b"}, "abc", step), "a|");
    CHECK_EQ(through({"abcd", "bc"}, "zabce", step), "za|");
    CHECK_EQ(through({"\n\n"}, "a\nb\n\nc", step), "a\nb|");
  }
  StopStrings stop;
  CHECK(!stop.add(""));
  CHECK(!stop.add(std::string(300, 'x').c_str()));
  for (i32 i = 0; i < StopStrings::MAX_STRINGS; i++)
    CHECK(stop.add("x"));
  CHECK(!stop.add("x"));
}
