// A model's logits beside those that another program computed of the same weights (tests/golden/, tools/golden/).
#pragma once
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "check.h"
#include "open_engine.h"

// After each of the first `positions` ids of the timeline: (positions, vocab).
inline std::vector<float> logits_of(const std::string& path, edgellm::i32 positions, edgellm::EngineOptions options) {
  options.threads = 1;
  options.context = options.tokens = options.logits = positions;
  OpenEngine open(options, path);
  const edgellm::i32 vocab = open.engine.model.vocab;
  std::vector<float> logits;
  if (!open.run(0, timeline(positions, vocab), edgellm::Wanted::all)) return logits;
  for (edgellm::i32 i = 0; i < positions; i++)
    logits.insert(logits.end(), logits_row(open.engine, i), logits_row(open.engine, i) + vocab);
  return logits;
}

inline float range_of(const std::vector<float>& values) {
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  return *most - *least;
}

// The largest difference, as a part of the range of the expected ones.
inline float largest_difference(const std::vector<float>& logits, const std::vector<float>& expected) {
  CHECK_EQ(logits.size(), expected.size());
  if (logits.size() != expected.size() || expected.empty()) return INFINITY;
  float worst = 0;
  for (size_t i = 0; i < expected.size(); i++)
    worst = std::max(worst, std::fabs(logits[i] - expected[i]));
  return worst / range_of(expected);
}

inline void check_logits(const std::string& name, const std::vector<float>& logits, const std::vector<float>& expected) {
  const float worst = largest_difference(logits, expected);
  std::printf("%s: largest difference of a logit %.2g of the range\n", name.c_str(), static_cast<double>(worst));
  CHECK(worst <= 2e-4f);
}
