// Attention over the cache of one kv head (layout and arithmetic: kernels.h). Query heads that share the cache share its loads:
// scores treat K as panels whose rows are slots, values keep tiles of heads by dims in registers while they walk the slots.
#include "floats.h"
#include "i8.h"
#include "quantize.h"

namespace edgellm {
namespace {

constexpr f32 FLOOR = 1e-30f;
constexpr i32 SLOTS = 64;  // whose weights are computed at a time

void store_i8(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  f32 k_max = largest_magnitude(k, kv.head_dim, FLOOR), v_max = largest_magnitude(v, kv.head_dim, FLOOR);
  u8* k_out = kv.k + slot / PANEL * PANEL * i64{kv.padded} + slot % PANEL * 4;  // dims 4d to 4d + 3 at line d
  u8* v_out = kv.v + i64{slot} * kv.padded;
  auto store_k = [&](i32 d, u64 bytes) {
    u32 low = static_cast<u32>(bytes), high = static_cast<u32>(bytes >> 32);
    __builtin_memcpy(k_out + d / 4 * LINE, &low, sizeof low);
    __builtin_memcpy(k_out + (d / 4 + 1) * LINE, &high, sizeof high);
  };
  auto store_v = [&](i32 d, u64 bytes) { __builtin_memcpy(v_out + d, &bytes, sizeof bytes); };
  quantize_lanes(k, kv.head_dim, 127.0f / k_max, store_k);
  quantize_lanes(v, kv.head_dim, 127.0f / v_max, store_v);
  for (i32 d = align_up(kv.head_dim, HALF); d < kv.padded; d += HALF) {
    store_k(d, 0);
    store_v(d, 0);
  }
  kv.k_scale[slot] = k_max / 127.0f;
  kv.v_scale[slot] = v_max / 127.0f;
}

void store_f16(const f32* k, const f32* v, i32 slot, const KvHead& kv) {
  u8* k_out = kv.k + (slot / PANEL * PANEL * i64{kv.padded} + slot % PANEL) * 2;  // dim d at column d of 16 f16
  u8* v_out = kv.v + i64{slot} * kv.padded * 2;
  for (i32 d = 0; d < kv.padded; d += HALF) {
    i32 lanes = min(kv.head_dim - d, HALF);
    __m256 k_lanes = lanes > 0 ? Part(lanes).load(k + d) : _mm256_setzero_ps();
    __m256 v_lanes = lanes > 0 ? Part(lanes).load(v + d) : _mm256_setzero_ps();
    alignas(16) u16 halves[HALF];
    _mm_store_si128(reinterpret_cast<__m128i*>(halves), _mm256_cvtps_ph(k_lanes, _MM_FROUND_TO_NEAREST_INT));
    for (i32 i = 0; i < HALF; i++)
      __builtin_memcpy(k_out + (d + i) * PANEL * 2, halves + i, sizeof(u16));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(v_out + d * 2), _mm256_cvtps_ph(v_lanes, _MM_FROUND_TO_NEAREST_INT));
  }
}

// Writes a block's 16 scores to where slot `slot` belongs, those of slots before `first` left out.
void store_scores(const FloatLanes& block, i32 slot, i32 first, f32* scores) {
  i32 skip = max(first - slot, 0);
  __builtin_memcpy(scores + (slot + skip - first), block + skip, sizeof(f32) * static_cast<size_t>(PANEL - skip));
}

void scores_i8(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  for (i32 slot = first / PANEL * PANEL; slot < first + n; slot += PANEL) {
    const u8* lines = kv.k + i64{slot} * kv.padded;
    for_heads<4>(q.heads, [&]<i32 T>(i32 head) {
      __m256i sums[T][2];
      dot_bytes<T>(lines, kv.padded / 4, q.q + head * i64{q.stride}, q.stride, sums);
      UNROLL for (i32 t = 0; t < T; t++) {
        alignas(32) FloatLanes block;
        UNROLL for (i32 h = 0; h < 2; h++) {
          __m256 scale = _mm256_mul_ps(_mm256_set1_ps(q.scales[head + t]), _mm256_loadu_ps(kv.k_scale + slot + h * HALF));
          _mm256_store_ps(block + h * HALF, _mm256_mul_ps(_mm256_cvtepi32_ps(sums[t][h]), scale));
        }
        store_scores(block, slot, first, scores + (head + t) * stride);
      }
    });
  }
}

void scores_f16(const Queries& q, const KvHead& kv, i32 first, i32 n, f32* scores, i64 stride) {
  constexpr i32 BLOCKS = 4;  // few heads take that many at once, to have as many chains of fma
  i64 block_bytes = i64{kv.padded} * PANEL * 2;
  i32 begin = first / PANEL, end = div_up(first + n, PANEL), most = min(end - begin, BLOCKS);
  for (i32 at = begin; at < end; at += BLOCKS) {
    i32 block = min(at, end - most);  // the last may overlap those before
    for_heads<4>(q.heads, [&]<i32 T>(i32 head) {
      for_most<BLOCKS / T>(most, [&]<i32 P>(i32 b) {
        const u8* blocks[P];
        UNROLL for (i32 p = 0; p < P; p++) blocks[p] = kv.k + (block + b + p) * block_bytes;
        alignas(32) FloatLanes acc[P * T] = {};
        multiply_columns<Halves, P, T, T>(blocks, kv.head_dim, q.x + head * i64{q.stride}, q.stride, acc);
        UNROLL for (i32 i = 0; i < P * T; i++) {
          store_scores(acc[i], (block + b + i / T) * PANEL, first, scores + (head + i % T) * stride);
        }
      });
    });
  }
}

// How eight dims of V lie in memory.
struct ByteDims {
  static constexpr i32 BYTES = 1;
  static __m256 load(const u8* v) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(v))));
  }
};

struct HalfDims {
  static constexpr i32 BYTES = 2;
  static __m256 load(const u8* v) { return load_f16(v); }
};

// out[t * out_stride + 16 d ..] += weight * v over `count` slots in order, for T heads and D runs of 16 dims. The weight of
// slot i and head t is weights[t * stride + i].
template <class E, i32 T, i32 D>
inline void add_values(const f32* weights, i64 stride, i32 count, const u8* v, i64 slot_bytes, f32* out, i64 out_stride) {
  __m256 sums[T][2 * D];
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 d = 0; d < 2 * D; d++) sums[t][d] = _mm256_loadu_ps(out + t * out_stride + d * HALF);
  }
  for (i32 i = 0; i < count; i++, v += slot_bytes) {
    UNROLL for (i32 d = 0; d < 2 * D; d++) {
      __m256 dims = E::load(v + d * HALF * E::BYTES);
      UNROLL for (i32 t = 0; t < T; t++) {
        sums[t][d] = _mm256_fmadd_ps(_mm256_broadcast_ss(weights + t * stride + i), dims, sums[t][d]);
      }
    }
  }
  UNROLL for (i32 t = 0; t < T; t++) {
    UNROLL for (i32 d = 0; d < 2 * D; d++) _mm256_storeu_ps(out + t * out_stride + d * HALF, sums[t][d]);
  }
}

// All dims for T heads over at most SLOTS slots; few heads take more dims at a time, to have eight chains of fma.
template <class E, i32 T>
inline void add_all_dims(const f32* weights, i64 stride, i32 count, const u8* v, i32 padded, f32* out, i64 out_stride) {
  for_most<4 / T>(padded / PANEL, [&]<i32 D>(i32 d) {
    add_values<E, T, D>(weights, stride, count, v + d * PANEL * E::BYTES, i64{padded} * E::BYTES, out + d * PANEL,
                        out_stride);
  });
}

void values_i8(const f32* p, i64 stride, i32 heads, const KvHead& kv, i32 first, i32 n, f32* out, i64 out_stride) {
  constexpr i32 HEADS = 4;
  alignas(32) f32 weights[HEADS][SLOTS];
  for (i32 i = 0; i < n; i += SLOTS) {
    i32 count = min(n - i, SLOTS);
    const u8* v = kv.v + i64{first + i} * kv.padded;
    for (i32 head = 0; head < heads; head += HEADS) {
      i32 some = min(heads - head, HEADS);
      for (i32 t = 0; t < some; t++) {
        for_lanes(count, [&](i32 j, auto lanes) {
          __m256 scale = lanes.load(kv.v_scale + first + i + j);
          _mm256_store_ps(weights[t] + j, _mm256_mul_ps(lanes.load(p + (head + t) * stride + i + j), scale));
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

void avx2_attention(Kernels& k) {
  k.store_i8 = store_i8;
  k.store_f16 = store_f16;
  k.scores_i8 = scores_i8;
  k.scores_f16 = scores_f16;
  k.values_i8 = values_i8;
  k.values_f16 = values_f16;
}

}  // namespace edgellm
