// The families `mamba` and `mamba2` of docs/FILE.md.
#pragma once
#include <cmath>

#include "convert/family/parts.h"

namespace edgellm::convert {

struct Mamba {
  i64 version = 1;  // 1 or 2
  i64 layers = 0, dim = 0, states = 16, taps = 4, vocab = 0, context = 2048;
  i64 inner = 0, rank = 0;                  // 1
  i64 heads = 0, head_dim = 0, groups = 1;  // 2
  bool conv_bias = true;
  bool tied = true;  // the embedding serves as the head
  f64 norm_eps = 1e-5;
  f64 dt_min = 0, dt_max = INFINITY;  // 2: bounds of the step size
};

// One layer's block.
void add_mamba(const Mamba& shape, Parts* parts);
void add_mamba2(const Mamba& shape, Parts* parts);

ModelTable mamba_family(const Mamba& shape);

}  // namespace edgellm::convert
