// What the CPU can do, and which CPUs we may use.
#pragma once
#include "base/cpu_features.h"
#include "base/types.h"

namespace edgellm {

// The CPU_* bits that hold, including that the operating system saves the registers they need.
u32 cpu_features();

// A set of logical CPUs.
struct CpuSet {
  static constexpr i32 MAX = 1024;
  u64 bits[MAX / 64] = {};

  bool has(i32 cpu) const { return cpu >= 0 && cpu < MAX && (bits[cpu / 64] >> (cpu % 64) & 1); }
  void add(i32 cpu) {
    if (cpu >= 0 && cpu < MAX) bits[cpu / 64] |= u64{1} << (cpu % 64);
  }
  i32 count() const;
};

// The CPUs this thread may run on; empty where the system does not say (macOS).
CpuSet allowed_cpus();

}  // namespace edgellm
