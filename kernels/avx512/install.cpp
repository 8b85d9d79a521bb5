// AVX-512 with VNNI and VBMI2 (Ice Lake, Zen 4 and later). Overrides nothing yet: these CPUs run the AVX2 kernels.
#include "kernels.h"

namespace edgellm {

void install_avx512(Kernels&) {}

}  // namespace edgellm
