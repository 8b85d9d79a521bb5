// Token shift of RWKV: what a matrix reads is the normalised vector of a token, mixed with that of the token before it. The last
// vector of a run is kept for the next one, at the beginning of the block's state (dim).
#pragma once
#include "arch/block.h"

namespace edgellm {

struct Mixed {
  const f32* share;  // (dim) of the token before
  const Matrix* w;
  Input* input;
};

// rows = norm(x); then for each of `all`: input = rows + (rows of the token before - rows) share, quantised for w.
void open_shifted(Batch& b, const Block& block, Rows rows, Span<const Mixed> all);

}  // namespace edgellm
