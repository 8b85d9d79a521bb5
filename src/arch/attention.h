// Grouped-query attention over a cache with rotary positions, for one token and one kv head at a time.
//
//   scores_t = (rope(q, p) . rope(k_t, t)) / sqrt(head_dim)    for all visible positions t <= p
//   out      = sum over t of softmax(scores)_t * v_t
//
// A layer with a sliding window sees the last positions only (Mistral, arXiv:2310.06825); others may see all (Qwen2).
//
// With a window W of the cache the visible positions are the sinks (the first SINKS) and the last W. Keys are stored rotated
// by their true position; the query is rotated by p for the window, and by min(p, SINKS + W - 1) for the sinks, so that no
// distance the model sees exceeds SINKS + W (arXiv:2309.17453 re-numbers the cache to the same effect).
#pragma once
#include "arch/arch.h"

namespace edgellm {

// Where keys and values of a session lie: for each layer, each kv head: k, v, k scales, v scales (see KvHead).
struct KvCache {
  KvFormat format;
  i32 layers;
  i32 kv_heads;
  i32 head_dim;
  i32 padded;      // head_dim up to a multiple of 16
  i32 window;      // 0: none
  i32 slots;       // multiple of 16; with a window: sinks, then a ring
  i64 head_bytes;  // of one layer and kv head

  static KvCache plan(const Limits& limits, i32 layers, i32 kv_heads, i32 head_dim);
  i64 bytes() const { return head_bytes * layers * kv_heads; }
  i32 slot(i32 position) const;
  i32 most_visible() const { return window ? SINKS + window : slots; }
  KvHead head(u8* state, i32 layer, i32 index) const;
};

// Cosine and sine for the pairs of one position.
struct Rotation {
  f32* cosine;  // (pairs)
  f32* sine;    // (pairs)
};

// frequency: (pairs) radians per position; `scale` multiplies both (YaRN).
void fill_rotation(i32 position, const f32* frequency, i32 pairs, f32 scale, Rotation rotation);

struct AttentionShape {
  i32 group;  // query heads that share a kv head
  i32 pairs;  // rotated pairs; 2 * pairs <= head_dim
  bool interleaved;
  f32 head_norm_eps;
  i32 window;  // positions the layer sees, a token's own the last of them; 0: all
};

struct HeadNorms {
  const f32* q;  // (head_dim) or null
  const f32* k;  // (head_dim) or null
};

// Work buffers of one thread.
struct AttentionScratch {
  f32* x;       // (group, padded)
  i8* q;        // (group, padded)
  f32* scales;  // (group)
  i32* sums;    // (group)
  f32* scores;  // (group, score_stride)
  f32* out;     // (group, padded)
  i64 score_stride;

  void take(Arena& arena, const KvCache& cache, i32 group);
};

// Normalises and rotates k (head_dim, changed in place) and stores it with v (head_dim).
void store_position(const Kernels& kernels, const KvCache& cache, const AttentionShape& shape, HeadNorms norms, KvHead kv,
                    i32 position, Rotation rotation, f32* k, const f32* v);

// q: (group, head_dim) as projected. out: (group, head_dim). `at_sinks` is the rotation for the sinks of a window.
void attend(const Kernels& kernels, const KvCache& cache, const AttentionShape& shape, HeadNorms norms, KvHead kv,
            i32 position, Rotation rotation, Rotation at_sinks, const AttentionScratch& scratch, const f32* q, f32* out);

}  // namespace edgellm
