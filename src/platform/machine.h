// What machine this is: cores worth a thread, memory, and the limits that the operating system puts on us.
#pragma once
#include "platform/cpu.h"

namespace edgellm {

struct Machine {
  char name[96];          // "AMD EPYC", "Raspberry Pi 5 Model B Rev 1.0", "Apple M2"; "unknown" where nothing tells
  i32 logical_cpus;       // that we may run on, at least 1
  i32 physical_cores;     // of those: hyper-threads count once
  i32 performance_cores;  // of those: without the little cores of a big.LITTLE or hybrid CPU
  i32 cpu_quota;          // CPUs' worth of time that cgroups grant, rounded up; 0: no limit
  i64 memory_bytes;       // physical, 0: unknown
  i64 available_bytes;    // that could be taken now without swapping, 0: unknown
  i64 memory_limit;       // the least cgroup limit over us; 0: no limit
  i64 cache_bytes;        // last-level cache of the first core, 0: unknown
  i64 page_bytes;
};

// Reads /proc and /sys under `root` ("" is the real one; tests give a made one), with the CPUs of `allowed` (empty: all
// that are there). Whatever cannot be read is unknown, never an error.
Machine read_machine(const char* root, const CpuSet& allowed);

// The machine we are on.
Machine this_machine();

// min(performance cores, quota), at least 1: the default of --threads.
i32 default_threads(const Machine& machine);

// Memory this process may use: the smaller of physical memory and the cgroup's limit; 0: unknown.
i64 usable_memory(const Machine& machine);

}  // namespace edgellm
