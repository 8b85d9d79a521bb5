// Three ways in which float weights become ternary.
#pragma once
#include "convert/base/model.h"

namespace edgellm::convert {

// How the values of a matrix are already scale * {-1, 0, 1}: the coarsest granularity that is exact, none if they are not.
// Reads the whole matrix, or as far as the first row that shows it is not.
std::optional<Ternary> recognise(const Tensor& matrix);

// The matrix, whose values `recognise` found ternary, with its codes.
std::unique_ptr<Tensor> recognised(std::unique_ptr<Tensor> matrix, const Ternary& ternary);

// Master weights of a BitNet b1.58 model (arXiv:2402.17764, equations 1 to 3): scale = mean |w|,
// code = clamp(round(w / scale), -1, 1). The values of the result are those of the ternary weights: they are the model.
std::unique_ptr<Tensor> from_master(std::unique_ptr<Tensor> matrix);

// The ternary matrix nearest to weights that were never meant to be, one scale a group; its values stay the original ones.
std::unique_ptr<Tensor> nearest_ternary(std::unique_ptr<Tensor> matrix);

}  // namespace edgellm::convert
