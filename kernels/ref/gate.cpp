// Elementwise: gated units (Shazeer, "GLU Variants Improve Transformer", 2020; squared ReLU: So et al., "Primer", 2021), the
// unit without a gate, and the residual sum.
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

static void silu_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = (gate[i] / (1.0f + exp32(-gate[i]))) * up[i];
}

static void relu2_gate(const f32* gate, const f32* up, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++) {
    // gate > 0 by its bits: LLVM makes FMAXNM of a comparison with 0, where a signalling NaN would win.
    f32 g = bits_to<u32>(gate[i]) - 1u < 0x7f800000u ? gate[i] : 0.0f;
    y[i] = (g * g) * up[i];
  }
}

static void gelu(const f32* x, i32 n, f32* y) {
  for (i32 i = 0; i < n; i++)
    y[i] = gelu32(x[i]);
}

static void add(f32* x, const f32* y, i32 n) {
  for (i32 i = 0; i < n; i++)
    x[i] = x[i] + y[i];
}

void ref_gate(Kernels& k) {
  k.silu_gate = silu_gate;
  k.relu2_gate = relu2_gate;
  k.gelu = gelu;
  k.add = add;
}

}  // namespace edgellm
