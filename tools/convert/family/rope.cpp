#include "convert/family/rope.h"

#include <algorithm>
#include <cmath>

#include "convert/base/error.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

constexpr f64 PI = 3.14159265358979323846;

// arXiv:2309.00071 (YaRN), section 3.2 and appendix A: dimension at which a wave turns `rotations` times in the original
// context.
f64 yarn_dimension(const Rope& rope, f64 dims, f64 rotations) {
  return dims * std::log(rope.original_context / (rotations * 2 * PI)) / (2 * std::log(rope.theta));
}

f64 scaled(const Rope& rope, f64 dims, f64 pair, f64 frequency) {
  switch (rope.scaling) {
    case Rope::Scaling::none:
      return frequency;
    case Rope::Scaling::linear:
      return frequency / rope.factor;
    case Rope::Scaling::llama3: {  // short waves stay, long ones stretch, those between are mixed
      f64 turns = rope.original_context * frequency / (2 * PI);
      if (turns < rope.low_freq_factor) return frequency / rope.factor;
      if (turns > rope.high_freq_factor) return frequency;
      f64 mix = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      return (1 - mix) * frequency / rope.factor + mix * frequency;
    }
    case Rope::Scaling::yarn: {
      f64 low = yarn_dimension(rope, dims, rope.beta_fast), high = yarn_dimension(rope, dims, rope.beta_slow);
      if (rope.truncate) low = std::floor(low), high = std::ceil(high);
      low = std::max(low, 0.0), high = std::min(high, dims - 1);
      if (!(high < low) && !(high > low)) high = low + 0.001;
      f64 ramp = std::clamp((pair - low) / (high - low), 0.0, 1.0);
      return ramp * frequency / rope.factor + (1 - ramp) * frequency;
    }
  }
  return frequency;
}

i64 rotated_dims(const Rope& rope, i64 head_dim) {
  return rope.dims ? rope.dims : head_dim;
}

}  // namespace

f64 rope_attention_scale(const Rope& rope) {
  if (rope.scaling != Rope::Scaling::yarn) return 1;
  if (rope.attention_factor > 0) return rope.attention_factor;
  return rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
}

void check_rope(const Rope& rope, i64 head_dim, const std::string& source) {
  const i64 dims = rotated_dims(rope, head_dim);
  if (dims < 2 || dims > head_dim || dims % 2 != 0) {
    unusable(source, ": ", dims, " rotated dimensions, expected an even number up to the head size ", head_dim);
  }
  const bool stretched = rope.scaling != Rope::Scaling::none;
  const bool needs_context = rope.scaling == Rope::Scaling::llama3 || rope.scaling == Rope::Scaling::yarn;
  if (!(rope.theta > 1) || !std::isfinite(rope.theta) || (stretched && !(rope.factor > 0)) ||
      (needs_context && !(rope.original_context > 0)) || !(rope.high_freq_factor > rope.low_freq_factor)) {
    unusable(source, ": rotary embedding of theta ", rope.theta, ", factor ", rope.factor, ", original context ",
             rope.original_context, ", frequency factors ", rope.low_freq_factor, " and ", rope.high_freq_factor,
             " makes no sense");
  }
  constexpr f64 LEAST = static_cast<f64>(MIN_ROPE_SCALE), MOST = static_cast<f64>(MAX_ROPE_SCALE);
  if (f64 scale = rope_attention_scale(rope); !(scale >= LEAST && scale <= MOST)) {
    unusable(source, ": the rotary embedding's attention factor is ", scale, ", expected ", LEAST, " to ", MOST);
  }
}

std::vector<f32> rope_frequencies(const Rope& rope, i64 head_dim, const std::string& source) {
  const i64 dims = rotated_dims(rope, head_dim);
  std::vector<f32> out;
  for (i64 i = 0; i < dims / 2; i++) {
    f64 frequency = std::pow(rope.theta, -2.0 * static_cast<f64>(i) / static_cast<f64>(dims));
    if (!rope.divisors.empty()) frequency /= static_cast<f64>(rope.divisors[static_cast<size_t>(i)]);
    const f32 stored = static_cast<f32>(scaled(rope, static_cast<f64>(dims), static_cast<f64>(i), frequency));
    if (!(stored > 0) || !std::isfinite(stored)) {
      unusable(source, ": rotary embedding of theta ", rope.theta, " and factor ", rope.factor, ": the frequency of pair ",
               i, " is ", stored, " as an f32");
    }
    out.push_back(stored);
  }
  return out;
}

}  // namespace edgellm::convert
