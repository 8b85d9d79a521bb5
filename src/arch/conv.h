// The causal convolution of Mamba and Mamba-2: each channel with its own weights and its own last inputs, in slices that threads
// share. Its state, at the beginning of the block's: the last inputs of each slice (taps - 1, channels), the oldest first.
#pragma once
#include "arch/block.h"

namespace edgellm {

struct Conv {
  const f32* weight;  // (taps, channels), the oldest first
  const f32* bias;    // (channels) or null
  i32 channels, taps;

  Status load(Layer& layer, i32 count);  // "conv", "conv_bias" and the key "taps"
  i64 state_values() const { return i64{taps - 1} * channels; }
};

// u = silu(conv(u)), rows of all channels.
void convolve(const Batch& b, const Block& block, const Conv& conv, Rows u);

}  // namespace edgellm
