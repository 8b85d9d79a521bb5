// ARMv8.2 with sdot (Cortex-A76, Apple M1 and later). Overrides nothing yet: these CPUs run the NEON kernels.
#include "kernels.h"

namespace edgellm {

void install_neon_dotprod(Kernels&) {}

}  // namespace edgellm
