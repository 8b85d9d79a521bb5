// Random numbers as a function: the same (seed, index) gives the same bits on every machine, in any order, with no state to
// save. Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once
#include "base/types.h"

namespace edgellm {

struct Philox {
  u32 word[4];
};

// The ten-round block function: a 128-bit counter under a 64-bit key, words of both in order from the lowest.
Philox philox(Philox counter, u64 key);

// The index-th 64 random bits of the sequence `seed`.
u64 random_bits(u64 seed, u64 index);

// The same as a number in [0, 1), a multiple of 2^-53.
f64 random_unit(u64 seed, u64 index);

}  // namespace edgellm
