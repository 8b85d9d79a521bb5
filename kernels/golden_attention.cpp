// Golden digests of the cache of keys and values.
#include "golden_run.h"

namespace edgellm {

constexpr i32 SLOTS = 48, HEAD_DIM = 100, HEAD_PADDED = 112, HEADS = 3, FIRST = 5, COUNT = 37, SCORE_STRIDE = 64;
constexpr i64 K_VALUES = SLOTS * HEAD_PADDED;

// An empty cache of values of `size` bytes.
static KvHead cache(GoldenRun& run, i64 size) {
  u8* k = reinterpret_cast<u8*>(run.zeros(K_VALUES * size / 4));
  u8* v = reinterpret_cast<u8*>(run.zeros(K_VALUES * size / 4));
  return {HEAD_DIM, HEAD_PADDED, k, v, run.zeros(SLOTS), run.zeros(SLOTS)};
}

static void fill_cache(GoldenRun& run, void (*store)(const f32*, const f32*, i32, const KvHead&), const KvHead& kv) {
  for (i32 slot = 0; slot < SLOTS; slot++) {
    Arena mark = run.memory;
    const f32 *k = run.floats(HEAD_DIM), *v = run.floats(HEAD_DIM);
    store(k, v, slot, kv);
    run.memory = mark;
  }
}

static void run_store(GoldenRun& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  run.add(kv.k, K_VALUES * size);
  run.add(kv.v, K_VALUES * size);
  run.add(kv.k_scale, SLOTS);
  run.add(kv.v_scale, SLOTS);
}

void golden_store_i8(GoldenRun& run) {
  run_store(run, run.k.store_i8, 1);
}

void golden_store_f16(GoldenRun& run) {
  run_store(run, run.k.store_f16, 2);
}

void golden_store_f32(GoldenRun& run) {
  run_store(run, run.k.store_f32, 4);
}

static Queries queries(GoldenRun& run) {
  f32* x = run.zeros(HEADS * HEAD_PADDED);
  i8* q = reinterpret_cast<i8*>(run.zeros(HEADS * HEAD_PADDED / 4));
  f32* scales = run.floats(HEADS);
  i32* sums = run.memory.take<i32>(HEADS);
  for (i32 h = 0; h < HEADS; h++) {
    sums[h] = 0;
    for (i32 d = 0; d < HEAD_DIM; d++) {
      i32 value = static_cast<i32>(run.bits() % 255) - 127;
      x[h * HEAD_PADDED + d] = run.ordinary();
      q[h * HEAD_PADDED + d] = static_cast<i8>(value);
      sums[h] += value;
    }
  }
  return {HEADS, HEAD_PADDED, x, q, scales, sums};
}

static void run_scores(GoldenRun& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size,
                       void (*slot)(const Queries&, const KvHead&, i32, i32, f32*, i64)) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  Queries q = queries(run);
  f32* scores = run.zeros(HEADS * SCORE_STRIDE);
  slot(q, kv, FIRST, COUNT, scores, SCORE_STRIDE);
  for (i32 h = 0; h < HEADS; h++)
    run.add(scores + h * SCORE_STRIDE, COUNT);
}

void golden_scores_i8(GoldenRun& run) {
  run_scores(run, run.k.store_i8, 1, run.k.scores_i8);
}

void golden_scores_f16(GoldenRun& run) {
  run_scores(run, run.k.store_f16, 2, run.k.scores_f16);
}

void golden_scores_f32(GoldenRun& run) {
  run_scores(run, run.k.store_f32, 4, run.k.scores_f32);
}

static void run_values(GoldenRun& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size,
                       void (*slot)(const f32*, i64, i32, const KvHead&, i32, i32, f32*, i64)) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  const f32* p = run.floats(HEADS * SCORE_STRIDE);
  f32* out = run.zeros(HEADS * HEAD_PADDED);
  slot(p, SCORE_STRIDE, HEADS, kv, FIRST, COUNT, out, HEAD_PADDED);
  run.add(out, HEADS * HEAD_PADDED);
}

void golden_values_i8(GoldenRun& run) {
  run_values(run, run.k.store_i8, 1, run.k.values_i8);
}

void golden_values_f16(GoldenRun& run) {
  run_values(run, run.k.store_f16, 2, run.k.values_f16);
}

void golden_values_f32(GoldenRun& run) {
  run_values(run, run.k.store_f32, 4, run.k.values_f32);
}

}  // namespace edgellm
