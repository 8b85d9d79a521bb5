// Natural logarithms of the probabilities that a row of logits gives its ids, before temperature, penalty and grammar:
//
//   ln p(id) = (logit(id) - m) - ln S,   m = max of all logits,   S = sum of e^(logit - m)
//
// S is a sum of pieces of PIECE logits each (the last may be shorter), in f64, in order. A piece with the maximum n gives
// (1 / q) e^(n - m), where q is what `softmax` (kernels.h) of the piece gives its largest; e is exp32. So every kernel set gives
// the same bits, and the sum is as fast as a softmax. The error of S is below 2^-20 of it (1e-6 of ln p).
//
// What is not finite: +infinity counts as the largest f32, -infinity and NaN as its negative. Answers are finite: none is
// below LEAST_LOG_PROBABILITY, which is what clients of this figure know as "very unlikely".
#pragma once
#include "base/arena.h"
#include "kernels.h"

namespace edgellm {

constexpr i32 MOST_LOG_PROBABILITIES = 20;  // of the most probable ids of a row
constexpr f32 LEAST_LOG_PROBABILITY = -9999;

struct LogProbability {
  i32 id;
  f32 value;  // natural logarithm, at most 0
};

class LogProbabilities {
 public:
  void place(Arena& arena, i32 vocab);

  // Takes over a row of logits (vocab), which it leaves as it is, and finds the `count` most probable ids: at most
  // MOST_LOG_PROBABILITIES and vocab. The row may be used up afterwards.
  void read(const Kernels& kernels, const f32* row, i32 count);

  // Of the row that was read last.
  f32 of(i32 id) const;
  Span<const LogProbability> top() const { return {top_, count_}; }  // most probable first, the lower id of equal ones

 private:
  static constexpr i32 PIECE = 1024;

  void rank(i32 first, i32 n, i32 count);

  f32* logits_ = nullptr;  // (vocab) finite
  i32 vocab_ = 0;
  f32 largest_ = 0;  // m
  f64 log_sum_ = 0;  // ln S
  i32 count_ = 0;
  LogProbability top_[MOST_LOG_PROBABILITIES];
};

}  // namespace edgellm
