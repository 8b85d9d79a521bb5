// Token shift of RWKV: what a matrix reads is the normalised vector of a token, mixed with that of the token before it. The last
// vector of a run is kept for the next one, at the beginning of the block's state (dim).
#pragma once
#include "arch/block.h"

namespace edgellm {

// y = w (h + (h of the token before - h) share)
struct Shifted {
  const f32* share;  // (dim)
  const Matrix* w;
  Rows y;
};

constexpr i32 MAX_SHIFTED = 7;

// Scratch for `N` of them.
template <int N>
struct Shift {
  static_assert(N <= MAX_SHIFTED);
  Rows rows;  // h (dim)
  Input inputs[N];

  Shift(Arena& arena, i32 tokens, i32 dim, i32 count = N) : rows(arena, tokens, dim) {
    for (i32 i = 0; i < count; i++)
      inputs[i] = {arena, tokens, dim};
  }
};

// Opens the block (h = norm(x)), and projects.
void project_shifted(Batch& b, const Block& block, Rows rows, Input* inputs, Span<const Shifted> all);

template <int N>
void project_shifted(Batch& b, const Block& block, Shift<N>& shift, const Shifted (&all)[N]) {
  project_shifted(b, block, shift.rows, shift.inputs, {all, N});
}

}  // namespace edgellm
