#include "arch/conv.h"

namespace edgellm {

constexpr i32 SLICE = 128;  // channels that one thread takes

Status Conv::load(Layer& layer, i32 count) {
  channels = count;
  EDGELLM_TRY(layer.number("taps", 1, MAX_TAPS, &taps));
  EDGELLM_TRY(layer.bind({{"conv", taps * channels, &weight}}));
  return layer.bind_optional({{"conv_bias", channels, &bias}});
}

void convolve(const Batch& b, const Block& block, const Conv& conv, Rows u) {
  each_slice(b, conv.channels, SLICE, [&](const Run& run, i32 at, i32 n) {
    const Convolution part = {.n = n,
                              .taps = conv.taps,
                              .stride = conv.channels,
                              .weight = conv.weight + at,
                              .bias = conv.bias ? conv.bias + at : nullptr};
    f32* past = state_of(block, run.state) + i64{conv.taps - 1} * at;
    for (i32 token = run.first; token < run.first + run.count; token++)
      b.kernels.conv_silu(part, u[token] + at, past, u[token] + at);
  });
}

}  // namespace edgellm
