// f16 weights (layout: docs/FILE.md): 16 rows of a column lie side by side; FCVTL of ARMv8.0 makes f32 of four.
#include "float_tiles.h"

namespace edgellm {
namespace {

struct Panel {
  const u8* data;
  Lanes column(i32 c) const { return load16_f16(data + c * i64{LINE / 2}); }
};

[[gnu::flatten]] void matmul_f16(const Matrix& w, const Activations& a, f32* y, i64 y_stride, i32 row0, i32 row1) {
  const i64 panel_bytes = align_up(w.cols, 4) * i64{PANEL * sizeof(u16)};
  float_matmul<Panel>(w, a, y, y_stride, row0, row1, [&](i32 panel) { return Panel{w.data + panel * panel_bytes}; });
}

}  // namespace

void neon_f16(Kernels& k) {
  k.matmul_f16 = matmul_f16;
}

}  // namespace edgellm
