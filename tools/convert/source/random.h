// Seeded random tensors: every weight is a function of its tensor's name and its place, the same on every machine, so any row can
// be made at any time.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

// Nearly normal values.
std::unique_ptr<Tensor> random_floats(const std::string& name, Role role, i64 rows, i64 cols, f32 mean, f32 deviation);

// Half of the weights are 0, a quarter each -scale and +scale.
std::unique_ptr<Tensor> random_ternary(const std::string& name, Role role, i64 rows, i64 cols, f32 scale);

}  // namespace edgellm::convert
