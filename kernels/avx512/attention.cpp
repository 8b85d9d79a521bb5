// Attention over the cache of one kv head (layout and arithmetic: kernels.h). Query heads that share the cache share its loads:
// scores treat K as panels whose rows are slots, values keep tiles of heads by dims in registers while they walk the slots.
#include "floats.h"
#include "vector.h"

namespace edgellm {
namespace {

constexpr i32 SLOTS = 64;  // whose weights are computed at a time

// Writes a block's 16 scores to where slot `slot` belongs, those of slots before `first` left out.
inline void store_scores(__m512 block, i32 slot, i32 first, f32* scores) {
  if (slot >= first) {
    _mm512_storeu_ps(scores + (slot - first), block);
  } else {
    __mmask16 seen = static_cast<__mmask16>(0xffffu << (first - slot));
    _mm512_mask_compressstoreu_ps(scores, seen, block);
  }
}

// sums[t] = K of 16 slots times query t. The sign bit turned round makes K an unsigned code, 128 too large. With few queries,
// several accumulators for each hide vpdpbusd's latency. `lines` is a multiple of four.
template <i32 T>
inline void dot_keys(const u8* keys, i32 lines, const i8* q, i64 stride, const i32* q_sums, __m512i (&sums)[T]) {
  constexpr i32 CHAINS = min(4, 8 / T);
  const __m512i flip = _mm512_set1_epi8(-128);
  Ints parts[CHAINS][T];
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 c = 0; c < CHAINS; c++) parts[c][t] = Ints(_mm512_set1_epi32(c == 0 ? -128 * q_sums[t] : 0));
  }
  for (i32 i = 0; i < lines; i += CHAINS) {
    UNROLL for (i32 c = 0; c < CHAINS; c++) {
      __m512i codes = _mm512_xor_si512(load(keys + (i + c) * LINE), flip);
      UNROLL for (i32 t = 0; t < T; t++) {
        __m512i x = broadcast4(q + t * stride + 4 * (i + c));
        parts[c][t] = Ints(_mm512_dpbusd_epi32(__m512i(parts[c][t]), codes, x));
      }
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    sums[t] = __m512i(parts[0][t]);
    UNROLL for (i32 c = 1; c < CHAINS; c++) sums[t] = _mm512_add_epi32(sums[t], __m512i(parts[c][t]));
  }
}

void scores_i8(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 slot = first / PANEL * PANEL; slot < first + n; slot += PANEL) {
    const u8* keys = kv.k + i64{slot} * kv.padded;
    const __m512 k_scale = _mm512_loadu_ps(kv.k_scale + slot);
    for_heads<4>(q.heads, [&]<i32 T>(i32 head) {
      __m512i sums[T];
      dot_keys<T>(keys, kv.padded / 4, q.q + head * i64{q.stride}, q.stride, q.sums + head, sums);
      UNROLL for (i32 t = 0; t < T; t++) {
        __m512 scale = _mm512_mul_ps(_mm512_set1_ps(q.scales[head + t]), k_scale);
        store_scores(_mm512_mul_ps(_mm512_cvtepi32_ps(sums[t]), scale), slot, first, scores + (head + t) * stride);
      }
    });
  }
}

void scores_f16(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  constexpr i32 BLOCKS = 8;  // few heads take that many at once, to have as many chains of fma
  i64 block_bytes = i64{kv.padded} * PANEL * 2;
  i32 begin = first / PANEL, end = div_up(first + n, PANEL), most = min(end - begin, BLOCKS);
  for (i32 at = begin; at < end; at += BLOCKS) {
    i32 block = min(at, end - most);  // the last may overlap those before
    for_heads<4>(q.heads, [&]<i32 T>(i32 head) {
      for_most<BLOCKS / T>(most, [&]<i32 P>(i32 b) {
        const u8* blocks[P];
        UNROLL for (i32 p = 0; p < P; p++) blocks[p] = kv.k + (block + b + p) * block_bytes;
        __m512 acc[P * T];
        UNROLL for (i32 i = 0; i < P * T; i++) acc[i] = _mm512_setzero_ps();
        multiply_columns<Halves, P, T, T>(blocks, kv.head_dim, q.x + head * i64{q.stride}, q.stride, acc);
        UNROLL for (i32 i = 0; i < P * T; i++) {
          store_scores(acc[i], (block + b + i / T) * PANEL, first, scores + (head + i % T) * stride);
        }
      });
    });
  }
}

// How 16 dims of V lie in memory.
struct ByteDims {
  static constexpr i32 BYTES = 1;
  static __m512 load(const u8* v) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(v))));
  }
};

struct HalfDims {
  static constexpr i32 BYTES = 2;
  static __m512 load(const u8* v) { return load_f16(v); }
};

// out[t * out_stride + 16 d ..] += weight * v over `count` slots in order, for T heads and D runs of 16 dims. The weight of
// slot i and head t is weights[t * stride + i].
template <class E, i32 T, i32 D>
inline void add_values(const f32* weights, i64 stride, i32 count, const u8* v, i64 slot_bytes, f32* out, i64 out_stride) {
  __m512 sums[T][D];
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 d = 0; d < D; d++) sums[t][d] = _mm512_loadu_ps(out + t * out_stride + d * PANEL);
  }
  for (i32 i = 0; i < count; i++, v += slot_bytes) {
    UNROLL for (i32 b = 0; b < D * PANEL * E::BYTES; b += LINE) prefetch(v + b);
    __m512 weight[T];
    UNROLL for (i32 t = 0; t < T; t++) weight[t] = _mm512_set1_ps(weights[t * stride + i]);
    UNROLL for (i32 d = 0; d < D; d++) {
      __m512 dims = E::load(v + d * PANEL * E::BYTES);
      UNROLL for (i32 t = 0; t < T; t++) sums[t][d] = _mm512_fmadd_ps(weight[t], dims, sums[t][d]);
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 d = 0; d < D; d++) _mm512_storeu_ps(out + t * out_stride + d * PANEL, sums[t][d]);
  }
}

// All dims for T heads over at most SLOTS slots: 64 dims at a time give one head four chains; four heads, which share what is
// converted, make do with 32.
template <class E, i32 T>
inline void add_all_dims(const f32* weights, i64 stride, i32 count, const u8* v, i32 padded, f32* out, i64 out_stride) {
  for_most<T == 4 ? 2 : 4>(padded / PANEL, [&]<i32 D>(i32 d) {
    add_values<E, T, D>(weights, stride, count, v + d * PANEL * E::BYTES, i64{padded} * E::BYTES, out + d * PANEL,
                        out_stride);
  });
}

void values_i8(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride) {
  constexpr i32 HEADS = 4;
  alignas(64) f32 weights[HEADS][SLOTS];
  for (i32 i = 0; i < n; i += SLOTS) {
    i32 count = min(n - i, SLOTS);
    const u8* v = kv.v + i64{first + i} * kv.padded;
    for (i32 head = 0; head < heads; head += HEADS) {
      i32 some = min(heads - head, HEADS);
      for (i32 t = 0; t < some; t++) {
        for_lanes(count, [&](i32 j, __mmask16 mask) {
          __m512 scale = _mm512_maskz_loadu_ps(mask, kv.v_scale + first + i + j);
          __m512 weight = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, p + (head + t) * stride + i + j), scale);
          _mm512_store_ps(weights[t] + j, weight);
        });
      }
      for_most<HEADS>(some, [&]<i32 T>(i32 t) {
        add_all_dims<ByteDims, T>(weights[t], SLOTS, count, v, kv.padded, out + (head + t) * out_stride, out_stride);
      });
    }
  }
}

void values_f16(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride) {
  for (i32 i = 0; i < n; i += SLOTS) {
    i32 count = min(n - i, SLOTS);
    for_most<4>(heads, [&]<i32 T>(i32 head) {
      add_all_dims<HalfDims, T>(p + head * stride + i, stride, count, kv.v + i64{first + i} * kv.padded * 2, kv.padded,
                                out + head * out_stride, out_stride);
    });
  }
}

}  // namespace

void avx512_attention(Kernels& k) {
  k.scores_i8 = scores_i8;
  k.scores_f16 = scores_f16;
  k.values_i8 = values_i8;
  k.values_f16 = values_f16;
}

}  // namespace edgellm
