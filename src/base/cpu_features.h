// What a kernel set may ask of a CPU; platform/cpu.h finds out which bits hold.
#pragma once
#include "base/types.h"

namespace edgellm {

enum : u32 {
  CPU_AVX2 = 1u << 0,
  CPU_FMA = 1u << 1,
  CPU_F16C = 1u << 2,
  CPU_AVX512 = 1u << 3,  // F, BW, VL and DQ, and the OS saves the registers
  CPU_AVX512_VNNI = 1u << 4,
  CPU_AVX512_VBMI2 = 1u << 5,
  CPU_NEON = 1u << 16,
  CPU_DOTPROD = 1u << 17,
  CPU_I8MM = 1u << 18,
};

}  // namespace edgellm
