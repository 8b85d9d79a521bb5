#include "arch/shift.h"

#include <string.h>

namespace edgellm {

void project_shifted(Batch& b, const Block& block, Rows rows, Input* inputs, Span<const Shifted> all) {
  Projection projections[MAX_SHIFTED];
  for (i64 i = 0; i < all.count; i++) {
    inputs[i].begin(*all[i].w, b.f32_activations);
    projections[i] = {all[i].w, all[i].y, &inputs[i]};
  }
  open(b, block, rows);
  each_token(b, [&](i32 token) {
    const Run& run = b.runs[b.tokens[token].run];
    const f32* before = token == run.first ? state_of(block, run.state) : rows[token - 1];
    for (i64 i = 0; i < all.count; i++) {
      b.kernels.mix(rows[token], before, all[i].share, b.dim, inputs[i].row(token));
      inputs[i].quantise(b.kernels, token);
    }
  });
  const size_t bytes = static_cast<size_t>(b.dim) * sizeof(f32);
  for (const Run& run : b.runs)
    memcpy(state_of(block, run.state), rows[run.first + run.count - 1], bytes);
  project_all(b, {projections, all.count});
}

}  // namespace edgellm
