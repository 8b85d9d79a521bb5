#include "engine/sample.h"

#include "base/random.h"

namespace edgellm {

namespace {

void penalise(f32* logits, i32 vocab, f32 penalty, Span<const i32> recent) {
  i64 from = max<i64>(0, recent.count - REPEAT_SPAN);
  for (i64 i = from; i < recent.count; i++) {
    bool seen = false;
    for (i64 j = from; j < i; j++)
      seen |= recent[j] == recent[i];
    if (seen || recent[i] >= vocab) continue;
    f32& logit = logits[recent[i]];
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

// More probable, or as probable with the lower id.
bool before(const f32* p, i32 a, i32 b) {
  return p[a] > p[b] || (p[a] == p[b] && a < b);
}

void sift_down(const f32* p, i32* heap, i32 count, i32 root) {
  for (;;) {
    i32 best = root;
    for (i32 child = 2 * root + 1; child <= 2 * root + 2 && child < count; child++) {
      if (before(p, heap[child], heap[best])) best = child;
    }
    if (best == root) return;
    i32 other = heap[root];
    heap[root] = heap[best];
    heap[best] = other;
    root = best;
  }
}

// Candidates from most to least probable, taken one at a time: few are needed, so no full sort. Those taken lie behind the
// shrinking heap, the first at the end.
struct Ranking {
  const f32* p;
  i32* ids;
  i32 all;  // candidates
  i32 taken;

  Ranking(const f32* probabilities, i32* candidates, i32 count) : p(probabilities), ids(candidates), all(count), taken(0) {
    for (i32 i = count / 2 - 1; i >= 0; i--)
      sift_down(p, ids, count, i);
  }
  i32 take() {
    i32 last = all - ++taken, top = ids[0];
    ids[0] = ids[last];
    ids[last] = top;
    sift_down(p, ids, last, 0);
    return top;
  }
  i32 rank(i32 i) const { return ids[all - 1 - i]; }
};

f64 sum(const f32* p, const i32* ids, i32 count) {
  f64 total = 0;
  for (i32 i = 0; i < count; i++)
    total += static_cast<f64>(p[ids[i]]);
  return total;
}

// The id at which the running sum of probabilities passes u times `mass`.
template <class IdAt>
i32 draw(const f32* p, i32 count, f64 mass, f64 u, IdAt id_at) {
  f64 target = u * mass;
  for (i32 i = 0; i < count - 1; i++) {
    target -= static_cast<f64>(p[id_at(i)]);
    if (target < 0) return id_at(i);
  }
  return id_at(count - 1);
}

}  // namespace

i32 sample(const Kernels& kernels, f32* logits, i32 vocab, const SamplingOptions& options, Span<const i32> recent,
           i64 position, i32* order) {
  if (options.repeat_penalty != 1) penalise(logits, vocab, options.repeat_penalty, recent);
  i32 best = kernels.argmax(logits, vocab);
  if (options.temperature == 0 || best < 0) return best;

  f32 top = logits[best];
  for (i32 id = 0; id < vocab; id++)
    logits[id] = (logits[id] - top) / options.temperature;
  kernels.softmax(logits, vocab);
  const f32* p = logits;

  i32 count = 0;
  f32 least = options.min_p * p[best];
  for (i32 id = 0; id < vocab; id++) {
    if (p[id] > 0 && p[id] >= least) order[count++] = id;
  }
  f64 u = random_unit(options.seed, static_cast<u64>(position));
  f64 mass = sum(p, order, count);
  if (options.top_k == 0 && options.top_p >= 1) {
    return draw(p, count, mass, u, [&](i32 i) { return order[i]; });
  }

  Ranking ranking(p, order, count);
  i32 kept = count;
  if (options.top_k > 0) {
    kept = min(count, options.top_k);
    mass = 0;
    for (i32 i = 0; i < kept; i++)
      mass += static_cast<f64>(p[ranking.take()]);
  }
  f64 nucleus = 0;
  i32 size = 0;
  while (size < kept && (size == 0 || nucleus < static_cast<f64>(options.top_p) * mass)) {
    if (size == ranking.taken) ranking.take();
    nucleus += static_cast<f64>(p[ranking.rank(size++)]);
  }
  return draw(p, size, nucleus, u, [&](i32 i) { return ranking.rank(i); });
}

}  // namespace edgellm
