// From logits to the next id. The order of the steps: repetition penalty, temperature, softmax, top-k, min-p, top-p, draw.
// The same logits, parameters, seed and position give the same id on every machine.
#pragma once
#include "kernels.h"

namespace edgellm {

struct SamplingOptions {
  f32 temperature = 0.7f;  // 0: greedy
  f32 top_p = 0.9f;        // smallest set of most probable ids that holds this share of what min-p left; 1: all
  i32 top_k = 0;           // 0: all
  f32 min_p = 0;           // least share of the largest probability
  f32 repeat_penalty = 1;  // logits of recent ids: divided if positive, multiplied if negative (arXiv:1909.05858)
  u64 seed = 0;
};

constexpr f32 MIN_REPEAT_PENALTY = 0.01f, MAX_REPEAT_PENALTY = 100;
constexpr i32 REPEAT_SPAN = 64;  // recent ids that the penalty looks at

// `logits` (vocab) is used up; `order` (vocab) is scratch; `recent` are the ids before this position, oldest first.
// Greedy takes the lowest of equal ids. Answers -1 when every logit is NaN.
i32 sample(const Kernels& kernels, f32* logits, i32 vocab, const SamplingOptions& options, Span<const i32> recent,
           i64 position, i32* order);

}  // namespace edgellm
