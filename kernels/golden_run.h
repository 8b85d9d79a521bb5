// What the runs of the golden digests share: where their inputs come from. Every value is made of integers and exact steps,
// so that it needs no kernel and no library. NaN is hashed as one value, because payloads are not promised.
#pragma once
#include "base/arena.h"
#include "base/checksum.h"
#include "base/math.h"
#include "kernels.h"

namespace edgellm {

// How floats are drawn: ordinary ones, or one in eight infinite, NaN, denormal or huge.
enum class Fill { ordinary, hostile };
constexpr Fill FILLS[] = {Fill::ordinary, Fill::hostile};

struct GoldenRun {
  const Kernels& k;
  Arena memory;
  u64 state;  // of the generator: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014
  Checksum hash = {};

  u32 bits() {
    state += 0x9e3779b97f4a7c15u;
    u64 z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<u32>((z ^ (z >> 31)) >> 32);
  }

  // In [-1, 1), times a power of two in [1/8, 16].
  f32 ordinary() {
    u32 random = bits();
    f32 power = bits_to<f32>((124u + random % 8u) << 23);
    return (static_cast<f32>(random >> 8) * 0x1p-23f - 1.0f) * power;
  }

  f32 hostile() {
    static const u32 VALUES[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x80000000, 0x00000001,
                                 0x807fffff, 0x7f7fffff, 0xff7fffff, 0x42b17218, 0xc2aeac50};
    u32 random = bits();
    return random % 8 ? ordinary() : bits_to<f32>(VALUES[random / 8 % (sizeof VALUES / sizeof VALUES[0])]);
  }

  f32* floats(i64 n, Fill fill = Fill::ordinary) {
    f32* x = memory.take<f32>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = fill == Fill::ordinary ? ordinary() : hostile();
    return x;
  }

  f32* zeros(i64 n) {
    f32* x = memory.take<f32>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = 0;
    return x;
  }

  u8* bytes(i64 n) {
    u8* x = memory.take<u8>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = static_cast<u8>(bits());
    return x;
  }

  void add(const f32* x, i64 n) {
    for (i64 i = 0; i < n; i++) {
      u32 value = x[i] != x[i] ? 0x7fc00000u : bits_to<u32>(x[i]);
      hash.update(&value, sizeof value);
    }
  }

  void add(const void* x, i64 n) { hash.update(x, n); }
};

constexpr i32 N = 301;  // of a vector: neither a multiple of 16 nor of 32
constexpr i32 STRIDE = 512;

// One for each kernel, beside its like in golden_*.cpp.
#define GOLDEN(name, digest) void golden_##name(GoldenRun& run);
#include "golden.def"
#undef GOLDEN

// An operation of two vectors, on ordinary and on hostile values.
void golden_pairs(GoldenRun& run, void (*slot)(const f32*, const f32*, i32, f32*));

}  // namespace edgellm
