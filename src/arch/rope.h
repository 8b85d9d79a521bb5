// Rotary position embedding (RoFormer, arXiv:2104.09864): pairs of channels are turned by an angle that grows with the position.
// A model has one or more tables of frequencies; the angles of a pass are computed once, for all blocks.
#pragma once
#include "base/math.h"

namespace edgellm {

// Cosine and sine of the pairs of one position.
struct Rotation {
  f32* cosine;  // (pairs)
  f32* sine;    // (pairs)
};

struct Rope {
  const f32* frequency;  // (pairs) radians per position; null: nothing is rotated
  i32 pairs;
  f32 scale;          // factor of cosine and sine (YaRN, arXiv:2309.00071)
  Rotation tokens;    // (tokens, pairs) of the pass at hand
  Rotation at_sinks;  // where a query of a window stands for the sinks (arch/attention.cpp)

  Rotation operator[](i32 token) const {
    return {tokens.cosine + static_cast<i64>(token) * pairs, tokens.sine + static_cast<i64>(token) * pairs};
  }

  void fill(i32 position, Rotation rotation) const {
    for (i32 i = 0; i < pairs; i++) {
      const f64 angle = static_cast<f64>(position) * static_cast<f64>(frequency[i]);
      rotation.cosine[i] = static_cast<f32>(cos64(angle) * static_cast<f64>(scale));
      rotation.sine[i] = static_cast<f32>(sin64(angle) * static_cast<f64>(scale));
    }
  }
};

}  // namespace edgellm
