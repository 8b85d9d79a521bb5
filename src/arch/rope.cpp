#include "arch/rope.h"

#include "base/math.h"

namespace edgellm {

void Rope::fill(i32 position, Rotation rotation) const {
  for (i32 i = 0; i < pairs; i++) {
    f64 angle = static_cast<f64>(position) * static_cast<f64>(frequency[i]);
    rotation.cosine[i] = static_cast<f32>(cos64(angle) * static_cast<f64>(scale));
    rotation.sine[i] = static_cast<f32>(sin64(angle) * static_cast<f64>(scale));
  }
}

}  // namespace edgellm
