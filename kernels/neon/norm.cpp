// RMS norm and layer norm. Sums run in 16 lanes; what is missing in the last 16 elements adds +0, which changes no lane that
// began with +0.
#include "base/math.h"
#include "lanes.h"

namespace edgellm {
namespace {

// The first `n` of 16 elements, +0 after them.
inline Lanes load_part(const f32* x, i32 n) {
  f32 part[PANEL] = {};
  for (i32 i = 0; i < n; i++)
    part[i] = x[i];
  return load16(part);
}

inline Lanes load_up_to_16(const f32* x, i32 n) {
  return n >= PANEL ? load16(x) : load_part(x, n);
}

inline void store_up_to_16(f32* y, const Lanes& x, i32 n) {
  if (n >= PANEL) {
    store16(y, x);
  } else {
    f32 part[PANEL];
    store16(part, x);
    for (i32 i = 0; i < n; i++)
      y[i] = part[i];
  }
}

inline f32 reciprocal_root(const Lanes& squares, i32 n, f32 eps) {
  return 1.0f / __builtin_sqrtf(fold16(squares) / static_cast<f32>(n) + eps);
}

void rms_norm(const f32* x, const f32* weight, f32 eps, i32 n, f32* y) {
  Lanes squares = all16(0);
  for (i32 i = 0; i < n; i += PANEL) {
    Lanes v = load_up_to_16(x + i, n - i);
    for (i32 k = 0; k < QUADS; k++)
      squares.quad[k] = vfmaq_f32(squares.quad[k], v.quad[k], v.quad[k]);
  }
  const f32 r = reciprocal_root(squares, n, eps);
  for (i32 i = 0; i < n; i += PANEL) {
    Lanes v = load_up_to_16(x + i, n - i);
    for (i32 k = 0; k < QUADS; k++)
      v.quad[k] = vmulq_n_f32(v.quad[k], r);
    if (weight) {
      Lanes w = load_up_to_16(weight + i, n - i);
      for (i32 k = 0; k < QUADS; k++)
        v.quad[k] = vmulq_f32(v.quad[k], w.quad[k]);
    }
    store_up_to_16(y + i, v, n - i);
  }
}

f32 mean_of(const f32* x, i32 n) {
  Lanes sums = all16(0);
  for (i32 i = 0; i < n; i += PANEL) {
    Lanes v = load_up_to_16(x + i, n - i);
    for (i32 k = 0; k < QUADS; k++)
      sums.quad[k] = vaddq_f32(sums.quad[k], v.quad[k]);
  }
  return fold16(sums) / static_cast<f32>(n);
}

Lanes centred(const f32* x, i32 n, f32 mean) {
  Lanes v = load_up_to_16(x, n);
  for (i32 k = 0; k < QUADS; k++)
    v.quad[k] = vsubq_f32(v.quad[k], vdupq_n_f32(mean));
  return v;
}

void layer_norm(const f32* x, const f32* weight, const f32* bias, f32 eps, i32 n, f32* y) {
  const f32 mean = mean_of(x, n);
  Lanes squares = all16(0);
  for (i32 i = 0; i < n; i += PANEL) {
    Lanes d = centred(x + i, n - i, mean);
    if (n - i < PANEL) {  // the missing ones are -mean now
      f32 part[PANEL];
      store16(part, d);
      d = load_part(part, n - i);
    }
    for (i32 k = 0; k < QUADS; k++)
      squares.quad[k] = vfmaq_f32(squares.quad[k], d.quad[k], d.quad[k]);
  }
  const f32 r = reciprocal_root(squares, n, eps);
  for (i32 i = 0; i < n; i += PANEL) {
    Lanes v = centred(x + i, n - i, mean);
    for (i32 k = 0; k < QUADS; k++)
      v.quad[k] = vmulq_n_f32(v.quad[k], r);
    if (weight) {
      Lanes w = load_up_to_16(weight + i, n - i), b = bias ? load_up_to_16(bias + i, n - i) : all16(0);
      for (i32 k = 0; k < QUADS; k++)
        v.quad[k] = vfmaq_f32(b.quad[k], v.quad[k], w.quad[k]);
    }
    store_up_to_16(y + i, v, n - i);
  }
}

}  // namespace

void neon_norm(Kernels& k) {
  k.rms_norm = rms_norm;
  k.layer_norm = layer_norm;
}

}  // namespace edgellm
