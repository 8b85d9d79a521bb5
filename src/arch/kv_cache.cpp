#include "arch/kv_cache.h"

#include <string.h>

namespace edgellm {

static i64 bytes_of(KvFormat format) {
  return i64{1} << static_cast<i32>(format);
}

i32 cache_slots(const Limits& limits) {
  // The first token of a chunk still sees its whole window after the last one was stored.
  return align_up(limits.window ? SINKS + limits.window + limits.tokens : limits.context, 16);
}

KvCache KvCache::plan(const Limits& limits, i32 kv_heads, i32 head_dim, i64 state_at) {
  KvCache cache = {};
  cache.format = limits.kv;
  cache.kv_heads = kv_heads;
  cache.head_dim = head_dim;
  cache.padded = align_up(head_dim, 16);
  cache.window = limits.window;
  cache.state_at = state_at;
  cache.slots = cache_slots(limits);
  const i64 values = static_cast<i64>(cache.slots) * cache.padded;
  const i64 scales = cache.format == KvFormat::I8 ? 2 * static_cast<i64>(cache.slots) : 0;
  cache.head_bytes = 2 * values * bytes_of(cache.format) + scales * static_cast<i64>(sizeof(f32));
  return cache;
}

Segment KvCache::segment(u8* session, i32 head, i32 position, i32 end) const {
  u8* keys = session + state_at + head * head_bytes;
  const i64 values = static_cast<i64>(slots) * padded * bytes_of(format);
  f32* scales = reinterpret_cast<f32*>(keys + 2 * values);
  const KvHead kv = {head_dim, padded, keys, keys + values, scales, scales + slots};
  if (window == 0) return {kv, position, end - position};
  if (position < SINKS) return {kv, position, min(end, SINKS) - position};
  const i32 slot = SINKS + (position - SINKS) % (slots - SINKS);
  return {kv, slot, min(end - position, slots - slot)};
}

void KvCache::copy(u8* from, i32 positions, u8* to) const {
  positions = align_up(positions, PANEL);  // keys lie in blocks of so many slots
  const size_t values = static_cast<size_t>(positions) * static_cast<size_t>(padded * bytes_of(format));
  const size_t scales = format == KvFormat::I8 ? static_cast<size_t>(positions) * sizeof(f32) : 0;
  for (i32 h = 0; h < kv_heads; h++) {
    const KvHead a = segment(from, h, 0, 1).head, b = segment(to, h, 0, 1).head;
    memcpy(b.k, a.k, values);
    memcpy(b.v, a.v, values);
    memcpy(b.k_scale, a.k_scale, scales);
    memcpy(b.v_scale, a.v_scale, scales);
  }
}

}  // namespace edgellm
