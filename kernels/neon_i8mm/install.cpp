// ARMv8.6 with smmla (Cortex-A710, Apple M2 and later). Overrides nothing yet: these CPUs run the kernels above it.
#include "kernels.h"

namespace edgellm {

void install_neon_i8mm(Kernels&) {}

}  // namespace edgellm
