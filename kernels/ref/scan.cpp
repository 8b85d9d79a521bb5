// The recurrences of Mamba (Gu and Dao, arXiv:2312.00752, section 3), of Mamba-2 (Dao and Gu, arXiv:2405.21060, section 7) and
// RetNet (Sun et al., arXiv:2307.08621, section 2): one token.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static void conv_silu(const Convolution& w, const f32* x, f32* state, f32* y) {
  for (i32 i = 0; i < w.n; i++) {
    f32 sum = w.bias ? w.bias[i] : 0.0f, newest = x[i];
    for (i32 t = 0; t + 1 < w.taps; t++) {
      f32 past = state[t * i64{w.n} + i];
      sum = fma32(w.weight[t * w.stride + i], past, sum);
      if (t > 0) state[(t - 1) * i64{w.n} + i] = past;
    }
    sum = fma32(w.weight[(w.taps - 1) * w.stride + i], newest, sum);
    if (w.taps > 1) state[(w.taps - 2) * i64{w.n} + i] = newest;
    y[i] = sum / (1.0f + exp32(-sum));
  }
}

static void scan(const Scan& s, f32* state, f32* y) {
  for (i32 i = 0; i < s.n; i++) {
    f32 dt = s.dt[i], grown = dt * s.x[i], sum = 0;
    for (i32 j = 0; j < s.states; j++) {
      f32& h = state[j * i64{s.n} + i];
      h = fma32(grown, s.b[j], h * exp32(dt * s.rate[j * s.stride + i]));
      sum = fma32(h, s.c[j], sum);
    }
    y[i] = fma32(s.skip[i], s.x[i], sum);
  }
}

static void retain(const Retention& r, f32* state, f32* y) {
  for (i32 i = 0; i < r.values; i++)
    y[i] = 0;
  for (i32 j = 0; j < r.keys; j++) {
    f32* row = state + j * i64{r.values};
    f32 key = r.k[j] * r.scale;
    for (i32 i = 0; i < r.values; i++) {
      row[i] = fma32(key, r.v[i], row[i] * r.decay);
      y[i] = fma32(row[i], r.q[j], y[i]);
    }
  }
}

void ref_scan(Kernels& k) {
  k.conv_silu = conv_silu;
  k.scan = scan;
  k.retain = retain;
}

}  // namespace edgellm
