// The recurrences of RWKV-4 (Peng et al., arXiv:2305.13048, equations 16 to 20) and RWKV-7 (Peng et al., arXiv:2503.14456,
// section 4): one token.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {

static void wkv4(const f32* k, const f32* v, const f32* bonus, const f32* rate, i32 n, f32* state, f32* y) {
  f32 *above = state, *below = state + n, *most = state + 2 * i64{n};
  for (i32 i = 0; i < n; i++) {
    f32 now = k[i] + bonus[i], top = now > most[i] ? now : most[i];
    f32 past = exp32(most[i] - top), present = exp32(now - top);
    y[i] = fma32(present, v[i], past * above[i]) / fma32(past, below[i], present);
    f32 later = most[i] + rate[i];
    top = k[i] > later ? k[i] : later;
    past = exp32(later - top), present = exp32(k[i] - top);
    above[i] = fma32(present, v[i], past * above[i]);
    below[i] = fma32(past, below[i], present);
    most[i] = top;
  }
}

static f32 wkv7(const Wkv7& h, f32* state, f32* y) {
  f32 removal[MAX_WKV7], decay[MAX_WKV7], key[MAX_WKV7], back[MAX_WKV7], removed[MAX_WKV7] = {};
  f32 squares[LANES] = {}, bonus[LANES] = {};
  for (i32 j = 0; j < h.n; j++) {
    removal[j] = h.k[j] * h.k_k[j];
    squares[j % LANES] = fma32(removal[j], removal[j], squares[j % LANES]);
  }
  f32 norm = __builtin_sqrtf(fold(squares));
  f32 inverse = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
  for (i32 j = 0; j < h.n; j++) {
    removal[j] = removal[j] * inverse;
    back[j] = -(removal[j] * h.a[j]);
    decay[j] = exp32(WKV7_DECAY * h.w[j]);
    key[j] = h.k[j] * fma32(h.a[j] - 1.0f, h.k_a[j], 1.0f);
    bonus[j % LANES] = fma32(h.r[j] * key[j], h.r_k[j], bonus[j % LANES]);
  }
  for (i32 j = 0; j < h.n; j++) {
    const f32* row = state + j * i64{h.n};
    for (i32 i = 0; i < h.n; i++)
      removed[i] = fma32(row[i], removal[j], removed[i]);
  }
  for (i32 i = 0; i < h.n; i++)
    y[i] = 0;
  for (i32 j = 0; j < h.n; j++) {
    f32* row = state + j * i64{h.n};
    for (i32 i = 0; i < h.n; i++) {
      row[i] = fma32(h.v[i], key[j], fma32(removed[i], back[j], row[i] * decay[j]));
      y[i] = fma32(row[i], h.r[j], y[i]);
    }
  }
  return fold(bonus);
}

void ref_wkv(Kernels& k) {
  k.wkv4 = wkv4;
  k.wkv7 = wkv7;
}

}  // namespace edgellm
