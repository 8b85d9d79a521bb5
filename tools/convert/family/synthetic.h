// Tensors of seeded random values.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

// Nearly normal values, the same on every machine, a function of the tensor's name and the place in it.
std::unique_ptr<Tensor> random_tensor(const std::string& name, Role role, i64 rows, i64 cols, f32 mean, f32 deviation);

}  // namespace edgellm::convert
