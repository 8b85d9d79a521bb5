#include "arch/attention.h"

#include "base/math.h"

namespace edgellm {

namespace {

i64 bytes_of(KvFormat format) {
  return i64{1} << static_cast<i32>(format);
}

template <class Kernel>
Kernel by_format(KvFormat format, Kernel bytes, Kernel halves, Kernel floats) {
  return format == KvFormat::I8 ? bytes : format == KvFormat::F16 ? halves : floats;
}

void rotate(const Kernels& kernels, const AttentionShape& shape, Rotation rotation, f32* head) {
  if (shape.interleaved) {
    kernels.rope_interleaved(head, rotation.cosine, rotation.sine, shape.pairs);
  } else {
    kernels.rope_half(head, rotation.cosine, rotation.sine, shape.pairs);
  }
}

// Query heads normalised, rotated and brought into the form the cache wants.
Queries make_queries(const Kernels& kernels, const KvCache& cache, const AttentionShape& shape, const f32* norm,
                     Rotation rotation, const AttentionScratch& scratch, const f32* q) {
  f32 scale = static_cast<f32>(1 / __builtin_sqrt(static_cast<f64>(cache.head_dim)));
  for (i32 h = 0; h < shape.group; h++) {
    f32* x = scratch.x + h * cache.padded;
    for (i32 i = 0; i < cache.padded; i++)
      x[i] = i < cache.head_dim ? q[h * cache.head_dim + i] : 0;
    if (norm) kernels.rms_norm(x, norm, shape.head_norm_eps, cache.head_dim, x);
    rotate(kernels, shape, rotation, x);
    if (cache.format == KvFormat::I8) {
      kernels.quantize_token(x, cache.head_dim, cache.padded, scratch.q + h * cache.padded, scratch.scales + h,
                             scratch.sums + h);
      scratch.scales[h] *= scale;
    } else {
      for (i32 i = 0; i < cache.head_dim; i++)
        x[i] *= scale;
    }
  }
  return {.heads = shape.group,
          .stride = cache.padded,
          .x = scratch.x,
          .q = scratch.q,
          .scales = scratch.scales,
          .sums = scratch.sums};
}

// A run of slots whose positions follow each other.
struct Segment {
  i32 first;
  i32 count;
};

// Visible positions in order: the sinks, then the window, which wraps around the ring at most once.
struct Visible {
  Segment segments[3];
  i32 count;
};

Visible visible_at(const KvCache& cache, i32 window, i32 position) {
  if (cache.window == 0) {
    i32 from = window ? max(0, position - window + 1) : 0;
    return {{{from, position + 1 - from}}, 1};
  }
  if (position < SINKS) return {{{0, position + 1}}, 1};
  Visible visible = {{{0, SINKS}}, 1};
  i32 from = max(SINKS, position - (window ? min(window, cache.window) : cache.window) + 1);
  i32 count = position + 1 - from;
  i32 first = cache.slot(from);
  i32 to_end = min(count, cache.slots - first);
  visible.segments[visible.count++] = {first, to_end};
  if (count > to_end) visible.segments[visible.count++] = {SINKS, count - to_end};
  return visible;
}

}  // namespace

KvCache KvCache::plan(const Limits& limits, i32 layers, i32 kv_heads, i32 head_dim) {
  KvCache cache = {};
  cache.format = limits.kv;
  cache.layers = layers;
  cache.kv_heads = kv_heads;
  cache.head_dim = head_dim;
  cache.padded = align_up(head_dim, 16);
  cache.window = limits.window;
  // The first token of a chunk still sees its whole window after the last one was stored.
  cache.slots = align_up(limits.window ? SINKS + limits.window + limits.columns : limits.context, 16);
  i64 values = static_cast<i64>(cache.slots) * cache.padded;
  i64 scales = cache.format == KvFormat::I8 ? 2 * static_cast<i64>(cache.slots) : 0;
  cache.head_bytes = 2 * values * bytes_of(cache.format) + scales * 4;
  return cache;
}

i32 KvCache::slot(i32 position) const {
  if (window == 0 || position < SINKS) return position;
  return SINKS + (position - SINKS) % (slots - SINKS);
}

KvHead KvCache::head(u8* state, i32 layer, i32 index) const {
  u8* base = state + (static_cast<i64>(layer) * kv_heads + index) * head_bytes;
  i64 values = static_cast<i64>(slots) * padded * bytes_of(format);
  f32* scales = reinterpret_cast<f32*>(base + 2 * values);
  return {
      .head_dim = head_dim, .padded = padded, .k = base, .v = base + values, .k_scale = scales, .v_scale = scales + slots};
}

void fill_rotation(i32 position, const f32* frequency, i32 pairs, f32 scale, Rotation rotation) {
  for (i32 i = 0; i < pairs; i++) {
    f64 angle = static_cast<f64>(position) * static_cast<f64>(frequency[i]);
    rotation.cosine[i] = static_cast<f32>(cos64(angle) * static_cast<f64>(scale));
    rotation.sine[i] = static_cast<f32>(sin64(angle) * static_cast<f64>(scale));
  }
}

void AttentionScratch::take(Arena& arena, const KvCache& cache, i32 group) {
  i64 values = static_cast<i64>(group) * cache.padded;
  score_stride = align_up(cache.most_visible(), 16) + 16;
  x = arena.take<f32>(values);
  q = arena.take<i8>(values);
  scales = arena.take<f32>(group);
  sums = arena.take<i32>(group);
  scores = arena.take<f32>(group * score_stride);
  out = arena.take<f32>(values);
}

void store_position(const Kernels& kernels, const KvCache& cache, const AttentionShape& shape, HeadNorms norms, KvHead kv,
                    i32 position, Rotation rotation, f32* k, const f32* v) {
  if (norms.k) kernels.rms_norm(k, norms.k, shape.head_norm_eps, cache.head_dim, k);
  rotate(kernels, shape, rotation, k);
  const auto store = by_format(cache.format, kernels.store_i8, kernels.store_f16, kernels.store_f32);
  store(k, v, cache.slot(position), kv);
}

void attend(const Kernels& kernels, const KvCache& cache, const AttentionShape& shape, HeadNorms norms, KvHead kv,
            i32 position, Rotation rotation, Rotation at_sinks, const AttentionScratch& scratch, const f32* q, f32* out) {
  const auto scores = by_format(cache.format, kernels.scores_i8, kernels.scores_f16, kernels.scores_f32);
  const auto values = by_format(cache.format, kernels.values_i8, kernels.values_f16, kernels.values_f32);
  Visible visible = visible_at(cache, shape.window, position);
  bool far_sinks = cache.window && position > SINKS + cache.window - 1;

  i32 seen = 0;
  Queries queries = make_queries(kernels, cache, shape, norms.q, far_sinks ? at_sinks : rotation, scratch, q);
  for (i32 s = 0; s < visible.count; s++) {
    if (s == 1 && far_sinks) queries = make_queries(kernels, cache, shape, norms.q, rotation, scratch, q);
    Segment segment = visible.segments[s];
    scores(queries, kv, segment.first, segment.count, scratch.scores + seen, scratch.score_stride);
    seen += segment.count;
  }
  for (i32 h = 0; h < shape.group; h++)
    kernels.softmax(scratch.scores + h * scratch.score_stride, seen);

  for (i32 i = 0; i < shape.group * cache.padded; i++)
    scratch.out[i] = 0;
  seen = 0;
  for (i32 s = 0; s < visible.count; s++) {
    Segment segment = visible.segments[s];
    values(scratch.scores + seen, scratch.score_stride, shape.group, kv, segment.first, segment.count, scratch.out,
           cache.padded);
    seen += segment.count;
  }
  for (i32 h = 0; h < shape.group; h++) {
    for (i32 i = 0; i < cache.head_dim; i++)
      out[h * cache.head_dim + i] = scratch.out[h * cache.padded + i];
  }
}

}  // namespace edgellm
