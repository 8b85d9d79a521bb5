// The recurrences of RWKV-4 and RWKV-7, one token: lanes are channels, in RWKV-7 the values of a head.
#include "functions.h"

namespace edgellm {
namespace {

void wkv4(const f32* k, const f32* v, const f32* bonus, const f32* rate, i32 n, f32* state, f32* y) {
  f32 *above = state, *below = state + n, *most = state + 2 * i64{n};
  for (i32 i = 0; i < n; i += 4) {
    const i32 left = n - i;
    const float32x4_t key = load4(k + i, left), value = load4(v + i, left), largest = load4(most + i, left);
    const float32x4_t a = load4(above + i, left), b = load4(below + i, left);
    const float32x4_t now = vaddq_f32(key, load4(bonus + i, left));
    float32x4_t top = greater(now, largest);
    float32x4_t past = exp4(vsubq_f32(largest, top)), present = exp4(vsubq_f32(now, top));
    const float32x4_t numerator = vfmaq_f32(vmulq_f32(past, a), present, value);
    store4(y + i, vdivq_f32(numerator, vfmaq_f32(present, past, b)), left);
    const float32x4_t later = vaddq_f32(largest, load4(rate + i, left));
    top = greater(key, later);
    past = exp4(vsubq_f32(later, top));
    present = exp4(vsubq_f32(key, top));
    store4(above + i, vfmaq_f32(vmulq_f32(past, a), present, value), left);
    store4(below + i, vfmaq_f32(present, past, b), left);
    store4(most + i, top, left);
  }
}

// What a step of RWKV-7 knows of each key.
struct Keys {
  f32 removal[MAX_WKV7], back[MAX_WKV7], decay[MAX_WKV7], key[MAX_WKV7];
};

// Fills `keys` and returns the bonus.
f32 prepare(const Wkv7& h, Keys& keys) {
  f32 squares[PANEL] = {}, bonus[PANEL] = {};
  for (i32 j = 0; j < h.n; j++) {
    keys.removal[j] = h.k[j] * h.k_k[j];
    squares[j % PANEL] = fma32(keys.removal[j], keys.removal[j], squares[j % PANEL]);
  }
  const f32 norm = __builtin_sqrtf(fold16(load16(squares))), inverse = 1.0f / (norm > 1e-12f ? norm : 1e-12f);
  for (i32 j = 0; j < h.n; j++) {
    keys.removal[j] = keys.removal[j] * inverse;
    keys.back[j] = -(keys.removal[j] * h.a[j]);
    keys.key[j] = h.k[j] * fma32(h.a[j] - 1.0f, h.k_a[j], 1.0f);
    bonus[j % PANEL] = fma32(h.r[j] * keys.key[j], h.r_k[j], bonus[j % PANEL]);
  }
  for (i32 j = 0; j < h.n; j += 4)
    store4(keys.decay + j, exp4(vmulq_n_f32(load4(h.w + j, h.n - j), WKV7_DECAY)), h.n - j);
  return fold16(load16(bonus));
}

// Q quads of values from `i` on.
template <i32 Q>
[[gnu::always_inline]] inline void step(const Wkv7& h, const Keys& keys, i32 i, f32* state, f32* y) {
  const i32 left = Q == QUADS ? 4 : h.n - i;  // lanes of a quad that are there
  float32x4_t removed[Q] = {}, value[Q], sum[Q] = {};
  unrolled<Q>([&](auto q) { value[q] = load4(h.v + i + 4 * q, left); });
  const f32* from = state + i;
  for (i32 j = 0; j < h.n; j++, from += h.n) {
    unrolled<Q>([&](auto q) { removed[q] = vfmaq_n_f32(removed[q], load4(from + 4 * q, left), keys.removal[j]); });
  }
  f32* row = state + i;
  for (i32 j = 0; j < h.n; j++, row += h.n) {
    unrolled<Q>([&](auto q) {
      float32x4_t s = vmulq_n_f32(load4(row + 4 * q, left), keys.decay[j]);
      s = vfmaq_n_f32(vfmaq_n_f32(s, removed[q], keys.back[j]), value[q], keys.key[j]);
      store4(row + 4 * q, s, left);
      sum[q] = vfmaq_n_f32(sum[q], s, h.r[j]);
    });
  }
  unrolled<Q>([&](auto q) { store4(y + i + 4 * q, sum[q], left); });
}

f32 wkv7(const Wkv7& h, f32* state, f32* y) {
  Keys keys;
  const f32 bonus = prepare(h, keys);
  i32 i = 0;
  for (; h.n - i >= PANEL; i += PANEL)
    step<QUADS>(h, keys, i, state, y);
  for (; i < h.n; i += 4)
    step<1>(h, keys, i, state, y);
  return bonus;
}

}  // namespace

void neon_wkv(Kernels& k) {
  k.wkv4 = wkv4;
  k.wkv7 = wkv7;
}

}  // namespace edgellm
