// Rotary embedding (arXiv:2104.09864): pair i of a head is turned by position * frequency i.
#pragma once
#include <string>
#include <vector>

#include "base/types.h"

namespace edgellm::convert {

// Frequencies of the rotary embedding, with the ways in which models stretch them to longer contexts.
struct Rope {
  enum class Scaling { none, linear, llama3, yarn };
  bool interleaved = false;  // pairs (2i, 2i + 1); else (i, i + pairs)
  i64 dims = 0;              // rotated dimensions of a head, even; 0: all
  f64 theta = 10000;
  Scaling scaling = Scaling::none;
  f64 factor = 1;
  f64 original_context = 0;                       // llama3, yarn
  f64 low_freq_factor = 1, high_freq_factor = 4;  // llama3
  f64 beta_fast = 32, beta_slow = 1;              // yarn
  f64 attention_factor = 0;                       // yarn; 0: 0.1 ln(factor) + 1
  bool truncate = true;                           // yarn: whole dimensions as bounds of the ramp
  std::vector<f32> divisors = {};                 // of the frequency of each pair, in place of a scaling; empty: all 1
};

// Throws, naming the source, what cannot be meant.
void check_rope(const Rope& rope, i64 head_dim, const std::string& source);

// Radians per position of each pair. Throws, naming the source, where one is no number as an f32.
std::vector<f32> rope_frequencies(const Rope& rope, i64 head_dim, const std::string& source);

// The factor of cosine and sine.
f64 rope_attention_scale(const Rope& rope);

}  // namespace edgellm::convert
