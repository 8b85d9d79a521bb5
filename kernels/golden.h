// Golden digests: what each kernel makes of inputs that are the same on every machine. A compiler that fuses, reorders or
// approximates changes reference and override alike; it cannot change these. Tests and `selftest` compare them.
#pragma once
#include "base/arena.h"
#include "kernels.h"

namespace edgellm {

constexpr i64 GOLDEN_BYTES = 1 << 20;  // scratch memory of one digest

// The name of a kernel, as in kernels.def; null past the last.
const char* golden_name(i32 index);
u64 golden_expected(i32 index);

// Runs that kernel of the table over its inputs. `memory` is a block of GOLDEN_BYTES, zero filled or not.
u64 golden_digest(const Kernels& k, i32 index, Arena memory);

}  // namespace edgellm
