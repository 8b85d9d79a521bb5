// f32 weights (layout: docs/FILE.md): 16 rows of a column lie side by side.
#include "float_tiles.h"

namespace edgellm {
namespace {

struct Panel {
  const u8* data;
  Lanes column(i32 c) const {
    Lanes w;
    unrolled<QUADS>([&](auto i) { w.quad[i] = vreinterpretq_f32_u8(vld1q_u8(data + c * i64{LINE} + 16 * i)); });
    return w;
  }
};

[[gnu::flatten]] void matmul_f32(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  const i64 panel_bytes = align_up(w.cols, 4) * i64{PANEL * sizeof(f32)};
  float_matmul<Panel>(w, a, y, y_stride, row0, row1, [&](i32 panel) { return Panel{w.data + panel * panel_bytes}; });
}

}  // namespace

void neon_f32(Kernels& k) {
  k.matmul_f32 = matmul_f32;
}

}  // namespace edgellm
