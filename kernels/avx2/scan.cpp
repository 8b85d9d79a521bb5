// One token of the recurrences of Mamba, Mamba-2 and RetNet (arithmetic: kernels.h). Lanes are channels or values i.
#include "vector.h"

namespace edgellm {
namespace {

void conv_silu(const Convolution& w, const f32* x, f32* state, f32* y) {
  for_lanes(w.n, [&](i32 i, auto lanes) {
    __m256 sum = w.bias ? lanes.load(w.bias + i) : _mm256_setzero_ps(), newest = lanes.load(x + i);
    const f32* weight = w.weight + i;
    f32* past = state + i;  // rows of n, oldest first; each moves to the one before
    for (i32 t = 0; t + 1 < w.taps; t++, weight += w.stride, past += w.n) {
      __m256 v = lanes.load(past);
      sum = _mm256_fmadd_ps(lanes.load(weight), v, sum);
      if (t > 0) lanes.store(past - w.n, v);
    }
    sum = _mm256_fmadd_ps(lanes.load(weight), newest, sum);
    if (w.taps > 1) lanes.store(past - w.n, newest);
    lanes.store(y + i, silu_lanes(sum));
  });
}

void scan(const Scan& s, f32* state, f32* y) {
  for_lanes(s.n, [&](i32 i, auto lanes) {
    __m256 dt = lanes.load(s.dt + i), x = lanes.load(s.x + i), grown = _mm256_mul_ps(dt, x), sum = _mm256_setzero_ps();
    const f32* rate = s.rate + i;
    f32* row = state + i;
    for (i32 j = 0; j < s.states; j++, rate += s.stride, row += s.n) {
      __m256 decay = exp_lanes(_mm256_mul_ps(dt, lanes.load(rate)));
      __m256 h = _mm256_fmadd_ps(grown, _mm256_set1_ps(s.b[j]), _mm256_mul_ps(lanes.load(row), decay));
      lanes.store(row, h);
      sum = _mm256_fmadd_ps(h, _mm256_set1_ps(s.c[j]), sum);
    }
    lanes.store(y + i, _mm256_fmadd_ps(lanes.load(s.skip + i), x, sum));
  });
}

// 8 * R values of the state's rows from `first` on.
template <i32 R, class Lanes>
inline void retain_columns(const Retention& r, f32* state, i32 first, Lanes lanes, f32* y) {
  const __m256 decay = _mm256_set1_ps(r.decay);
  __m256 value[R], sums[R];
  UNROLL for (i32 i = 0; i < R; i++) {
    value[i] = lanes.load(r.v + first + i * HALF);
    sums[i] = _mm256_setzero_ps();
  }
  f32* row = state + first;
  for (i32 j = 0; j < r.keys; j++, row += r.values) {
    __m256 key = _mm256_set1_ps(r.k[j] * r.scale), q = _mm256_set1_ps(r.q[j]);
    UNROLL for (i32 i = 0; i < R; i++) {
      __m256 s = _mm256_fmadd_ps(key, value[i], _mm256_mul_ps(lanes.load(row + i * HALF), decay));
      lanes.store(row + i * HALF, s);
      sums[i] = _mm256_fmadd_ps(s, q, sums[i]);
    }
  }
  UNROLL for (i32 i = 0; i < R; i++) lanes.store(y + first + i * HALF, sums[i]);
}

void retain(const Retention& r, f32* state, f32* y) {
  for_most<8>(r.values / HALF, [&]<i32 R>(i32 i) { retain_columns<R>(r, state, i * HALF, Whole{}, y); });
  i32 rest = r.values % HALF;
  if (rest) retain_columns<1>(r, state, r.values - rest, Part(rest), y);
}

}  // namespace

void avx2_scan(Kernels& k) {
  k.conv_silu = conv_silu;
  k.scan = scan;
  k.retain = retain;
}

}  // namespace edgellm
