#include "platform/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sched.h>
#include <sys/auxv.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace edgellm {

#if defined(__x86_64__)

// Which register states the operating system saves at a switch.
static u64 saved_states() {
  u32 low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return u64{high} << 32 | low;
}

u32 cpu_features() {
  constexpr u64 YMM = 0x06, ZMM = 0xe6;  // SSE and AVX; and with masks and all of ZMM
  u32 a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  auto bit = [](u32 word, i32 index) { return (word >> index & 1) != 0; };
  bool fma = bit(c, 12), xsave_enabled = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
  if (!xsave_enabled || !avx) return 0;
  u64 saved = saved_states();
  if ((saved & YMM) != YMM) return 0;

  u32 features = 0;
  if (fma) features |= CPU_FMA;
  if (f16c) features |= CPU_F16C;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return features;
  if (bit(b, 5)) features |= CPU_AVX2;
  bool f = bit(b, 16), dq = bit(b, 17), bw = bit(b, 30), vl = bit(b, 31);
  if ((saved & ZMM) == ZMM && f && dq && bw && vl) {
    features |= CPU_AVX512;
    if (bit(c, 1) && bit(c, 6)) features |= CPU_AVX512_VBMI2;  // with VBMI, which came first
    if (bit(c, 11)) features |= CPU_AVX512_VNNI;
  }
  return features;
}

#elif defined(__aarch64__) && defined(__linux__)

u32 cpu_features() {
  // Bits of the kernel's arch/arm64/include/uapi/asm/hwcap.h; older C libraries do not name them all.
  constexpr unsigned long ASIMD = 1ul << 1, ASIMDDP = 1ul << 20, I8MM = 1ul << 13;
  unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  u32 features = 0;
  if (first & ASIMD) features |= CPU_NEON;
  if (first & ASIMDDP) features |= CPU_DOTPROD;
  if (second & I8MM) features |= CPU_I8MM;
  return features;
}

#elif defined(__aarch64__) && defined(__APPLE__)

static bool has(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
}

u32 cpu_features() {
  u32 features = CPU_NEON;
  if (has("hw.optional.arm.FEAT_DotProd")) features |= CPU_DOTPROD;
  if (has("hw.optional.arm.FEAT_I8MM")) features |= CPU_I8MM;
  return features;
}

#else

u32 cpu_features() {
  return 0;
}

#endif

i32 CpuSet::count() const {
  i32 sum = 0;
  for (u64 word : bits)
    sum += __builtin_popcountll(word);
  return sum;
}

CpuSet allowed_cpus() {
  CpuSet set;
#if defined(__linux__)
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) == 0) {
    for (i32 cpu = 0; cpu < min(CpuSet::MAX, static_cast<i32>(CPU_SETSIZE)); cpu++) {
      if (CPU_ISSET(cpu, &mask)) set.add(cpu);
    }
  }
#endif
  return set;
}

}  // namespace edgellm
