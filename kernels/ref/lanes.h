// The sum of 16 lanes, as every kernel set folds it.
#pragma once
#include "kernels.h"

namespace edgellm {

constexpr i32 LANES = 16;

static inline f32 fold(f32 lanes[LANES]) {
  for (i32 width = LANES / 2; width > 0; width /= 2) {
    for (i32 l = 0; l < width; l++)
      lanes[l] = lanes[l] + lanes[l + width];
  }
  return lanes[0];
}

}  // namespace edgellm
