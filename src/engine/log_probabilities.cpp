#include "engine/log_probabilities.h"

#include <string.h>

#include "base/math.h"

namespace edgellm {

constexpr f32 LARGEST_F32 = 0x1.fffffep127f;

static f32 finite(f32 x) {
  f32 low = x > -LARGEST_F32 ? x : -LARGEST_F32;
  return low < LARGEST_F32 ? low : LARGEST_F32;
}

void LogProbabilities::place(Arena& arena, i32 vocab) {
  vocab_ = vocab;
  logits_ = arena.take<f32>(vocab);
}

// Puts ids of a piece where they belong among the most probable so far; `top_` holds logits until the row is read.
void LogProbabilities::rank(i32 first, i32 n, i32 count) {
  for (i32 id = first; id < first + n; id++) {
    const f32 logit = logits_[id];
    if (count_ == count && !(logit > top_[count - 1].value)) continue;
    if (count_ < count) count_++;
    i32 place = count_ - 1;
    for (; place > 0 && logit > top_[place - 1].value; place--)
      top_[place] = top_[place - 1];
    top_[place] = {id, logit};
  }
}

void LogProbabilities::read(const Kernels& kernels, const f32* row, i32 count) {
  assert(count >= 0 && count <= MOST_LOG_PROBABILITIES);
  count = min(count, vocab_);
  count_ = 0;
  memcpy(logits_, row, static_cast<size_t>(vocab_) * sizeof(f32));
  if (!kernels.all_finite(logits_, vocab_)) {
    for (f32& logit : Span<f32>{logits_, vocab_})
      logit = finite(logit);
  }
  largest_ = logits_[kernels.argmax(logits_, vocab_)];
  f64 sum = 0;
  for (i32 first = 0; first < vocab_; first += PIECE) {
    const i32 n = min(PIECE, vocab_ - first);
    f32 piece[PIECE];
    memcpy(piece, logits_ + first, static_cast<size_t>(n) * sizeof(f32));
    const i32 top = kernels.argmax(piece, n);
    const f32 peak = piece[top];
    kernels.softmax(piece, n);
    sum += 1 / static_cast<f64>(piece[top]) * static_cast<f64>(exp32(peak - largest_));
    if (count > 0 && (count_ < count || peak > top_[count - 1].value)) rank(first, n, count);
  }
  log_sum_ = log64(sum);
  for (i32 i = 0; i < count_; i++)
    top_[i].value = of(top_[i].id);
}

f32 LogProbabilities::of(i32 id) const {
  assert(id >= 0 && id < vocab_);
  const f64 difference = static_cast<f64>(logits_[id]) - static_cast<f64>(largest_);
  return max(static_cast<f32>(difference - log_sum_), LEAST_LOG_PROBABILITY);
}

}  // namespace edgellm
