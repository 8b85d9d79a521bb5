// TM2 version 1, the seed's format (.tm2.bin), rewritten in memory as version 2 so that one reader and one set of kernels
// serve both. The bytes of version 1, little endian and not aligned:
//
//   "TM2\0"  u32 dim, ffn_dim, layers, heads, kv_heads, vocab, context
//   matrix   u8 1, u32 rows, u32 cols, rows x (f16 scale, ceil(cols / 4) bytes; four weights a byte, lowest bits first:
//            0 = 0, 1 = +1, 2 and 3 = -1)
//   vector   u8 0, f32 values (the count is implied)
//   order    embed; for each layer: attn_norm, q, k, v, o, attn_sub_norm, ffn_norm, gate, up, down, ffn_sub_norm; norm, head
//
// It has no more than that: its runtime takes RoPE theta 500000 with interleaved pairs, epsilon 1e-5, BOS 1, stop 128001,
// head_dim = dim / heads, gate relu^2, int8 activations.
#pragma once
#include "base/status.h"

namespace edgellm {

bool is_legacy(Span<const u8> bytes);

// Writes the version 2 image to `out`, 64-byte aligned and zero filled, and its size to *size; with `out` null it only checks
// the source and tells the size. `half_rope` replaces the interleaved pairs: files made from Hugging Face weights want it.
Status upgrade_legacy(Span<const u8> source, bool half_rope, u8* out, i64* size);

}  // namespace edgellm
