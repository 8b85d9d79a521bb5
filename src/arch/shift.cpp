#include "arch/shift.h"

#include <string.h>

namespace edgellm {

void open_shifted(Batch& b, const Block& block, Rows rows, Span<const Mixed> all) {
  open(b, block, rows);
  for (const Mixed& mixed : all)
    mixed.input->begin(*mixed.w, b.f32_activations);
  each_token(b, [&](i32 token) {
    const Run& run = b.runs[b.tokens[token].run];
    const f32* before = token == run.first ? state_of(block, run.state) : rows[token - 1];
    for (const Mixed& mixed : all) {
      b.kernels.mix(rows[token], before, mixed.share, b.dim, mixed.input->row(token));
      mixed.input->quantise(b.kernels, token);
    }
  });
  const size_t bytes = static_cast<size_t>(b.dim) * sizeof(f32);
  for (const Run& run : b.runs)
    memcpy(state_of(block, run.state), rows[run.first + run.count - 1], bytes);
}

}  // namespace edgellm
