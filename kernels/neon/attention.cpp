// Attention over the cache of one kv head (layout: KvHead in kernels.h). Scores: lane = slot, so a block of K is a panel and
// the heads are its vectors. Values: lane = dim, slots in order.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

constexpr f32 FLOOR = 1e-30f;
constexpr i32 HEADS = 4;         // that share what is read of K and V
constexpr i32 VALUE_SLOTS = 32;  // whose V stays in L1 while all dims pass

// The first of `n` dims that begin at d, +0 for those from `n` on.
inline Lanes load_dims(const f32* x, i32 d, i32 n) {
  if (n - d >= PANEL) return load16(x + d);
  f32 part[PANEL] = {};
  for (i32 i = d; i < n; i++)
    part[i - d] = x[i];
  return load16(part);
}

f32 largest(const f32* x, i32 n) {
  Lanes m = all16(FLOOR);
  for (i32 d = 0; d < n; d += PANEL) {
    Lanes v = load_dims(x, d, n);
    for (i32 i = 0; i < QUADS; i++)
      m.quad[i] = greater(vabsq_f32(v.quad[i]), m.quad[i]);
  }
  return vmaxvq_f32(greater(greater(m.quad[0], m.quad[1]), greater(m.quad[2], m.quad[3])));  // no NaN came in
}

// 16 values as int8: as in quantize.cpp.
inline int8x16_t quantized(const Lanes& x, f32 inverse) {
  int16x4_t part[QUADS];
  for (i32 i = 0; i < QUADS; i++)
    part[i] = vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(x.quad[i], inverse)));
  return vcombine_s8(vmovn_s16(vcombine_s16(part[0], part[1])), vmovn_s16(vcombine_s16(part[2], part[3])));
}

void store_i8(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  const f32 k_max = largest(k, kv.head_dim), v_max = largest(v, kv.head_dim);
  const f32 k_inverse = 127.0f / k_max, v_inverse = 127.0f / v_max;
  u8* to_k = kv.k + static_cast<i64>(slot / PANEL) * PANEL * kv.padded + slot % PANEL * 4;
  u8* to_v = kv.v + static_cast<i64>(slot) * kv.padded;
  for (i32 d = 0; d < kv.padded; d += PANEL, to_k += 4 * LINE) {
    vst1q_u8(to_v + d, vreinterpretq_u8_s8(quantized(load_dims(v, d, kv.head_dim), v_inverse)));
    u8 dims[PANEL];
    vst1q_u8(dims, vreinterpretq_u8_s8(quantized(load_dims(k, d, kv.head_dim), k_inverse)));
    for (i32 j = 0; j < PANEL / 4; j++)
      __builtin_memcpy(to_k + j * LINE, dims + 4 * j, 4);
  }
  kv.k_scale[slot] = k_max / 127.0f;
  kv.v_scale[slot] = v_max / 127.0f;
}

void store_f16(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  constexpr i64 BYTES = sizeof(u16);
  u8* to_k = kv.k + (static_cast<i64>(slot / PANEL) * PANEL * kv.padded + slot % PANEL) * BYTES;
  u8* to_v = kv.v + static_cast<i64>(slot) * kv.padded * BYTES;
  for (i32 d = 0; d < kv.padded; d += PANEL) {
    const Lanes keys = load_dims(k, d, kv.head_dim), values = load_dims(v, d, kv.head_dim);
    u16 dims[PANEL];
    for (i32 i = 0; i < QUADS; i++) {
      vst1_u8(to_v + (d + 4 * i) * BYTES, vreinterpret_u8_f16(vcvt_f16_f32(values.quad[i])));
      vst1_u16(dims + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(keys.quad[i])));
    }
    for (i32 j = 0; j < PANEL; j++, to_k += PANEL * BYTES)
      __builtin_memcpy(to_k, dims + j, BYTES);
  }
}

// Calls body<T>(h) for tiles of T heads that cover [0, heads).
template <class Body>
inline void for_heads(i32 heads, Body&& body) {
  i32 h = 0;
  for (; heads - h >= HEADS; h += HEADS)
    body.template operator()<HEADS>(h);
  for (; heads - h >= 2; h += 2)
    body.template operator()<2>(h);
  if (h < heads) body.template operator()<1>(h);
}

// Exact sums of 16 slots by T heads. Two products of a lane fit in int16: 2 * 128 * 127.
template <i32 T>
[[gnu::always_inline]] inline void add_block(const u8* lines, i32 padded, const i8* q, i64 stride,
                                             int32x4_t (&sums)[T][2 * QUADS]) {
  for (i32 d = 0; d < padded; d += 8, lines += 2 * LINE) {
    Broadcast x[T];
    unrolled<T>([&](auto t) { x[t] = broadcast8(q + t * stride + d); });
    unrolled<QUADS>([&](auto i) {
      int8x16_t w0 = vreinterpretq_s8_u8(vld1q_u8(lines + 16 * i));
      int8x16_t w1 = vreinterpretq_s8_u8(vld1q_u8(lines + LINE + 16 * i));
      unrolled<T>([&](auto t) {
        int16x8_t low = add_low(mul_low(w0, x[t].group[0]), w1, x[t].group[1]);
        int16x8_t high = add_high(mul_high(w0, x[t].group[0]), w1, x[t].group[1]);
        sums[t][2 * i] = vpadalq_s16(sums[t][2 * i], low);
        sums[t][2 * i + 1] = vpadalq_s16(sums[t][2 * i + 1], high);
      });
    });
  }
}

[[gnu::flatten]] void scores_i8(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 block = first / PANEL * PANEL; block < first + n; block += PANEL) {
    const u8* lines = kv.k + static_cast<i64>(block) * kv.padded;
    const Lanes k_scale = load16(kv.k_scale + block);
    auto tile = [&]<i32 T>(i32 h) {
      int32x4_t sums[T][2 * QUADS] = {};
      add_block<T>(lines, kv.padded, q.q + h * static_cast<i64>(q.stride), q.stride, sums);
      unrolled<T>([&](auto t) {
        Lanes result;
        unrolled<QUADS>([&](auto i) {
          float32x4_t sum = vcvtq_f32_s32(vpaddq_s32(sums[t][2 * i], sums[t][2 * i + 1]));
          result.quad[i] = vmulq_f32(sum, vmulq_n_f32(k_scale.quad[i], q.scales[h + t]));
        });
        save_scores(scores + (h + t) * stride, block - first, result);
      });
    };
    i32 h = 0;
    for (; q.heads - h >= 2; h += 2)
      tile.template operator()<2>(h);  // 16 accumulators
    if (h < q.heads) tile.template operator()<1>(h);
  }
}

[[gnu::flatten]] void scores_f16(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 block = first / PANEL * PANEL; block < first + n; block += PANEL) {
    for_heads(q.heads, [&]<i32 T>(i32 h) {
      const u8* keys = kv.k + static_cast<i64>(block) * kv.padded * i64{sizeof(u16)};
      const f32* x = q.x + h * static_cast<i64>(q.stride);
      Lanes acc[T];
      unrolled<T>([&](auto t) { acc[t] = all16(0); });
      for (i32 d = 0; d < kv.head_dim; d++, x++, keys += PANEL * sizeof(u16)) {
        unrolled<QUADS>([&](auto i) {
          float32x4_t key = load_f16(keys + 4 * i * sizeof(u16));
          unrolled<T>([&](auto t) { acc[t].quad[i] = vfmaq_n_f32(acc[t].quad[i], key, x[t * i64{q.stride}]); });
        });
      }
      unrolled<T>([&](auto t) { save_scores(scores + (h + t) * stride, block - first, acc[t]); });
    });
  }
}

[[gnu::always_inline]] inline Lanes load_i8_values(const u8* v) {
  int8x16_t bytes = vreinterpretq_s8_u8(vld1q_u8(v));
  int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_high_s8(bytes);
  return {{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
           vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}

// out += weights by the V of `slots` slots. `weights` is (T, VALUE_SLOTS); BYTES a value of V.
template <i32 T, i64 BYTES>
[[gnu::always_inline]] inline void add_values(const f32 (*weights)[VALUE_SLOTS], i32 slots, const u8* v, i32 padded,
                                              f32* out, i64 out_stride) {
  for (i32 d = 0; d < padded; d += PANEL) {
    Lanes acc[T];
    unrolled<T>([&](auto t) { acc[t] = load16(out + t * out_stride + d); });
    const u8* from = v + d * BYTES;
    for (i32 s = 0; s < slots; s++, from += padded * BYTES) {
      Lanes value;
      if constexpr (BYTES == 1) value = load_i8_values(from);
      if constexpr (BYTES == 2) value = load16_f16(from);
      unrolled<T>([&](auto t) { add_scaled(acc[t], value, weights[t][s]); });
    }
    unrolled<T>([&](auto t) { store16(out + t * out_stride + d, acc[t]); });
  }
}

// weight(head, i) is the factor of slot first + i.
template <i64 BYTES, class Weight>
inline void values(i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride, Weight&& weight) {
  for (i32 i = 0; i < n; i += VALUE_SLOTS) {
    const i32 slots = min(VALUE_SLOTS, n - i);
    const u8* v = kv.v + static_cast<i64>(first + i) * kv.padded * BYTES;
    for_heads(heads, [&]<i32 T>(i32 h) {
      f32 weights[T][VALUE_SLOTS];
      for (i32 t = 0; t < T; t++) {
        for (i32 s = 0; s < slots; s++)
          weights[t][s] = weight(h + t, i + s);
      }
      add_values<T, BYTES>(weights, slots, v, kv.padded, out + h * out_stride, out_stride);
    });
  }
}

[[gnu::flatten]] void values_i8(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out,
                                i64 out_stride) {
  values<1>(heads, kv, first, n, out, out_stride, [&](i32 h, i32 i) { return p[h * stride + i] * kv.v_scale[first + i]; });
}

[[gnu::flatten]] void values_f16(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out,
                                 i64 out_stride) {
  values<2>(heads, kv, first, n, out, out_stride, [&](i32 h, i32 i) { return p[h * stride + i]; });
}

}  // namespace

void neon_attention(Kernels& k) {
  k.store_i8 = store_i8;
  k.store_f16 = store_f16;
  k.scores_i8 = scores_i8;
  k.scores_f16 = scores_f16;
  k.values_i8 = values_i8;
  k.values_f16 = values_f16;
}

}  // namespace edgellm
