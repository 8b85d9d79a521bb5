// Attention over the cache of one kv head (layout: KvHead in kernels.h). K lies in blocks of 16 slots, a lane each; V by slot.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static constexpr f32 FLOOR = 1e-30f;

// Byte of an i8 cache, or value of a float cache, at which (slot, dim) of K lies.
static i64 k_i8(const KvHead& kv, i64 slot, i64 dim) {
  return slot / PANEL * PANEL * kv.padded + dim / 4 * 64 + slot % PANEL * 4 + dim % 4;
}

static i64 k_float(const KvHead& kv, i64 slot, i64 dim) {
  return slot / PANEL * PANEL * kv.padded + dim * PANEL + slot % PANEL;
}

// Values of float caches, by the type that holds them: u16 as f16, f32 as it is.
template <class Cell>
static f32 load(const u8* base, i64 index) {
  Cell cell;
  __builtin_memcpy(&cell, base + index * static_cast<i64>(sizeof cell), sizeof cell);
  if constexpr (sizeof cell == sizeof(f32)) return cell;
  return f16_to_f32(static_cast<u16>(cell));
}

template <class Cell>
static void save(u8* base, i64 index, f32 value) {
  Cell cell;
  if constexpr (sizeof cell == sizeof(f32)) {
    cell = value;
  } else {
    cell = f32_to_f16(value);
  }
  __builtin_memcpy(base + index * static_cast<i64>(sizeof cell), &cell, sizeof cell);
}

static f32 largest(const f32* x, i32 n) {
  f32 m = FLOOR;
  for (i32 i = 0; i < n; i++)
    m = abs32(x[i]) > m ? abs32(x[i]) : m;
  return m;
}

static u8 quantized(f32 x, f32 inverse) {
  f32 t = x * inverse;
  t = t > 127.0f ? 127.0f : t;
  t = t < -127.0f ? -127.0f : t;
  return static_cast<u8>(t != t ? 0 : round_half_even(t));
}

static void store_i8(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  f32 k_max = largest(k, kv.head_dim), v_max = largest(v, kv.head_dim);
  f32 k_inverse = 127.0f / k_max, v_inverse = 127.0f / v_max;
  for (i32 d = 0; d < kv.padded; d++) {
    kv.k[k_i8(kv, slot, d)] = d < kv.head_dim ? quantized(k[d], k_inverse) : u8{0};
    kv.v[i64{slot} * kv.padded + d] = d < kv.head_dim ? quantized(v[d], v_inverse) : u8{0};
  }
  kv.k_scale[slot] = k_max / 127.0f;
  kv.v_scale[slot] = v_max / 127.0f;
}

template <class Cell>
static void store_float(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  for (i32 d = 0; d < kv.padded; d++) {
    save<Cell>(kv.k, k_float(kv, slot, d), d < kv.head_dim ? k[d] : 0.0f);
    save<Cell>(kv.v, i64{slot} * kv.padded + d, d < kv.head_dim ? v[d] : 0.0f);
  }
}

static void scores_i8(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 h = 0; h < q.heads; h++) {
    const i8* query = q.q + i64{h} * q.stride;
    for (i32 i = 0; i < n; i++) {
      i32 slot = first + i, sum = 0;  // |sum| <= 128 * 127 * padded
      for (i32 d = 0; d < kv.padded; d++)
        sum += query[d] * static_cast<i8>(kv.k[k_i8(kv, slot, d)]);
      scores[h * stride + i] = static_cast<f32>(sum) * (q.scales[h] * kv.k_scale[slot]);
    }
  }
}

template <class Cell>
static void scores_float(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 h = 0; h < q.heads; h++) {
    const f32* query = q.x + i64{h} * q.stride;
    for (i32 i = 0; i < n; i++) {
      f32 acc = 0;
      for (i32 d = 0; d < kv.head_dim; d++)
        acc = fma32(query[d], load<Cell>(kv.k, k_float(kv, first + i, d)), acc);
      scores[h * stride + i] = acc;
    }
  }
}

static void values_i8(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride) {
  for (i32 h = 0; h < heads; h++) {
    f32* sum = out + h * out_stride;
    for (i32 i = 0; i < n; i++) {
      const u8* v = kv.v + i64{first + i} * kv.padded;
      f32 weight = p[h * stride + i] * kv.v_scale[first + i];
      for (i32 d = 0; d < kv.padded; d++)
        sum[d] = fma32(weight, static_cast<f32>(static_cast<i8>(v[d])), sum[d]);
    }
  }
}

template <class Cell>
static void values_float(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride) {
  for (i32 h = 0; h < heads; h++) {
    f32* sum = out + h * out_stride;
    for (i32 i = 0; i < n; i++) {
      i64 v = i64{first + i} * kv.padded;
      for (i32 d = 0; d < kv.padded; d++)
        sum[d] = fma32(p[h * stride + i], load<Cell>(kv.v, v + d), sum[d]);
    }
  }
}

void ref_attention(Kernels& k) {
  k.store_i8 = store_i8;
  k.store_f16 = store_float<u16>;
  k.store_f32 = store_float<f32>;
  k.scores_i8 = scores_i8;
  k.scores_f16 = scores_float<u16>;
  k.scores_f32 = scores_float<f32>;
  k.values_i8 = values_i8;
  k.values_f16 = values_float<u16>;
  k.values_f32 = values_float<f32>;
}

}  // namespace edgellm
