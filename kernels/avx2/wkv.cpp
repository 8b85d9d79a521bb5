// One token of the recurrences of RWKV-4 and RWKV-7 (arithmetic: kernels.h). Lanes are channels, of RWKV-7's state the values i.
#include "vector.h"

namespace edgellm {
namespace {

void wkv4(const f32* k, const f32* v, const f32* bonus, const f32* rate, i32 n, f32* state, f32* y) {
  f32 *above = state, *below = state + n, *most = state + 2 * i64{n};
  for_lanes(n, [&](i32 i, auto lanes) {
    __m256 key = lanes.load(k + i), value = lanes.load(v + i), largest = lanes.load(most + i);
    __m256 a = lanes.load(above + i), b = lanes.load(below + i);
    __m256 now = _mm256_add_ps(key, lanes.load(bonus + i)), top = _mm256_max_ps(now, largest);
    __m256 past = exp_lanes(_mm256_sub_ps(largest, top)), present = exp_lanes(_mm256_sub_ps(now, top));
    __m256 numerator = _mm256_fmadd_ps(present, value, _mm256_mul_ps(past, a));
    lanes.store(y + i, _mm256_div_ps(numerator, _mm256_fmadd_ps(past, b, present)));
    __m256 later = _mm256_add_ps(largest, lanes.load(rate + i));
    top = _mm256_max_ps(key, later);
    past = exp_lanes(_mm256_sub_ps(later, top));
    present = exp_lanes(_mm256_sub_ps(key, top));
    lanes.store(above + i, _mm256_fmadd_ps(present, value, _mm256_mul_ps(past, a)));
    lanes.store(below + i, _mm256_fmadd_ps(past, b, present));
    lanes.store(most + i, top);
  });
}

// What multiplies whole rows j of the state.
struct Rows {
  alignas(32) f32 removal[MAX_WKV7];
  alignas(32) f32 back[MAX_WKV7];
  alignas(32) f32 decay[MAX_WKV7];
  alignas(32) f32 key[MAX_WKV7];
};

// Returns the bonus. Lanes past n add +0 to the squares and, times -0, -0 to the bonus: neither changes a sum.
f32 prepare_rows(const Wkv7& h, Rows& rows) {
  const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f), scale = _mm256_set1_ps(WKV7_DECAY);
  __m256 squares[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}, bonus[2] = {squares[0], squares[1]};
  for_halves(h.n, [&](i32 j, i32 half, auto lanes) {
    __m256 removal = _mm256_mul_ps(lanes.load(h.k + j), lanes.load(h.k_k + j));
    _mm256_store_ps(rows.removal + j, removal);
    squares[half] = _mm256_fmadd_ps(removal, removal, squares[half]);
  });
  f32 norm = root(fold(squares));
  const __m256 inverse = _mm256_set1_ps(1.0f / (norm > 1e-12f ? norm : 1e-12f));
  for_halves(h.n, [&](i32 j, i32 half, auto lanes) {
    __m256 removal = _mm256_mul_ps(_mm256_load_ps(rows.removal + j), inverse), a = lanes.load(h.a + j);
    __m256 rate = _mm256_fmadd_ps(_mm256_sub_ps(a, one), lanes.load(h.k_a + j), one);
    __m256 key = _mm256_mul_ps(lanes.load(h.k + j), rate);
    _mm256_store_ps(rows.removal + j, removal);
    _mm256_store_ps(rows.back + j, _mm256_xor_ps(_mm256_mul_ps(removal, a), sign));
    _mm256_store_ps(rows.decay + j, exp_lanes(_mm256_mul_ps(scale, lanes.load(h.w + j))));
    _mm256_store_ps(rows.key + j, key);
    bonus[half] = _mm256_fmadd_ps(_mm256_mul_ps(lanes.load(h.r + j), key), lanes.load_or(h.r_k + j, sign), bonus[half]);
  });
  return fold(bonus);
}

// 8 * R columns of the state from `first` on; `lanes` reads and writes them.
template <i32 R, class Lanes>
inline void step_columns(const Wkv7& h, const Rows& rows, f32* state, i32 first, Lanes lanes, f32* y) {
  __m256 removed[R], value[R], sums[R];
  UNROLL for (i32 i = 0; i < R; i++) {
    removed[i] = sums[i] = _mm256_setzero_ps();
    value[i] = lanes.load(h.v + first + i * HALF);
  }
  f32* row = state + first;
  for (i32 j = 0; j < h.n; j++, row += h.n) {
    __m256 removal = _mm256_set1_ps(rows.removal[j]);
    UNROLL for (i32 i = 0; i < R; i++) removed[i] = _mm256_fmadd_ps(lanes.load(row + i * HALF), removal, removed[i]);
  }
  row = state + first;
  for (i32 j = 0; j < h.n; j++, row += h.n) {
    __m256 key = _mm256_set1_ps(rows.key[j]), back = _mm256_set1_ps(rows.back[j]);
    __m256 decay = _mm256_set1_ps(rows.decay[j]), r = _mm256_set1_ps(h.r[j]);
    UNROLL for (i32 i = 0; i < R; i++) {
      __m256 s = _mm256_mul_ps(lanes.load(row + i * HALF), decay);
      s = _mm256_fmadd_ps(value[i], key, _mm256_fmadd_ps(removed[i], back, s));
      lanes.store(row + i * HALF, s);
      sums[i] = _mm256_fmadd_ps(s, r, sums[i]);
    }
  }
  UNROLL for (i32 i = 0; i < R; i++) lanes.store(y + first + i * HALF, sums[i]);
}

f32 wkv7(const Wkv7& h, f32* state, f32* y) {
  Rows rows;
  f32 bonus = prepare_rows(h, rows);
  for_most<4>(h.n / HALF, [&]<i32 R>(i32 i) { step_columns<R>(h, rows, state, i * HALF, Whole{}, y); });
  i32 rest = h.n % HALF;
  if (rest) step_columns<1>(h, rows, state, h.n - rest, Part(rest), y);
  return bonus;
}

}  // namespace

void avx2_wkv(Kernels& k) {
  k.wkv4 = wkv4;
  k.wkv7 = wkv7;
}

}  // namespace edgellm
