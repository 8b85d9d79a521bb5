// The families `mamba` and `mamba2` of docs/FILE.md.
#pragma once
#include <cmath>

#include "convert/family/recurrent.h"

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

Family mamba_family(const Mamba& shape);

// The shapes of "synthetic:mamba...".
struct NamedMamba {
  const char* name;
  Mamba shape;
};
extern const std::vector<NamedMamba> SYNTHETIC_MAMBA;

}  // namespace edgellm::convert
