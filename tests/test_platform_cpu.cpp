// Which features a CPU is taken to have, by what its CPUID says: bits as the manuals of Intel and AMD number them.
#include "platform/cpu.h"

#include "check.h"

#if defined(__x86_64__)
#include <cpuid.h>

namespace {

using edgellm::u32;

struct Leaf {
  bool known = true;
  u32 ebx = 0, ecx = 0;
};
Leaf one, seven;

int made_cpuid(u32 leaf, u32* a, u32* b, u32* c, u32* d) {
  CHECK_EQ(leaf, 1u);
  *a = *d = 0, *b = one.ebx, *c = one.ecx;
  return one.known;
}

int made_cpuid_count(u32 leaf, u32 part, u32* a, u32* b, u32* c, u32* d) {
  CHECK(leaf == 7 && part == 0);
  *a = *d = 0, *b = seven.ebx, *c = seven.ecx;
  return seven.known;
}

}  // namespace

#define __get_cpuid made_cpuid
#define __get_cpuid_count made_cpuid_count
#include "../src/platform/cpu.cpp"
#undef __get_cpuid
#undef __get_cpuid_count

using namespace edgellm;

namespace {

constexpr u32 ZMM_FEATURES = CPU_AVX512 | CPU_AVX512_VBMI2 | CPU_AVX512_VNNI;
constexpr u32 ALL = CPU_FMA | CPU_F16C | CPU_AVX2 | ZMM_FEATURES;

struct Bit {
  const char* name;
  Leaf* leaf;
  u32 Leaf::* word;
  i32 index;
  u32 without;  // the features that are lost without it
};

const Bit BITS[] = {
    {"fma", &one, &Leaf::ecx, 12, CPU_FMA},
    {"osxsave", &one, &Leaf::ecx, 27, ALL},
    {"avx", &one, &Leaf::ecx, 28, ALL},
    {"f16c", &one, &Leaf::ecx, 29, CPU_F16C},
    {"avx2", &seven, &Leaf::ebx, 5, CPU_AVX2},
    {"avx512f", &seven, &Leaf::ebx, 16, ZMM_FEATURES},
    {"avx512dq", &seven, &Leaf::ebx, 17, ZMM_FEATURES},
    {"avx512bw", &seven, &Leaf::ebx, 30, ZMM_FEATURES},
    {"avx512vl", &seven, &Leaf::ebx, 31, ZMM_FEATURES},
    {"avx512vbmi", &seven, &Leaf::ecx, 1, CPU_AVX512_VBMI2},
    {"avx512vbmi2", &seven, &Leaf::ecx, 6, CPU_AVX512_VBMI2},
    {"avx512vnni", &seven, &Leaf::ecx, 11, CPU_AVX512_VNNI},
};

// The bits of the table on, all others as `others`.
void fill(u32 others) {
  one = seven = {true, others, others};
  for (const Bit& bit : BITS)
    bit.leaf->*bit.word |= 1u << bit.index;
}

}  // namespace

TEST(features_by_their_bits) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx")) SKIP("this system saves no AVX registers");
  // The registers that are saved are those of this machine.
  const u32 can = __builtin_cpu_supports("avx512f") ? ALL : ALL & ~ZMM_FEATURES;
  for (u32 others : {0u, ~0u}) {
    fill(others);
    CHECK_EQ(cpu_features(), can);
    for (const Bit& bit : BITS) {
      fill(others);
      bit.leaf->*bit.word &= ~(1u << bit.index);
      CHECK_EQ(bit.name + std::string(" ") + std::to_string(cpu_features()),
               bit.name + std::string(" ") + std::to_string(can & ~bit.without));
    }
    fill(others);
    seven.known = false;
    CHECK_EQ(cpu_features(), u32{CPU_FMA | CPU_F16C});
    one.known = false;
    CHECK_EQ(cpu_features(), 0u);
  }
}
#else
TEST(features_by_their_bits) {
  SKIP("the bits are those of x86-64");
}
#endif
