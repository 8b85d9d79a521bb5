// The `transformer` family of docs/FILE.md, as every source of it describes its model.
#pragma once
#include "convert/base/model.h"

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
  std::vector<f32> divisors;                      // of the frequency of each pair, in place of a scaling; empty: all 1
};

struct Transformer {
  i64 layers = 0, dim = 0, ffn_dim = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0, context = 0;
  f64 norm_eps = 1e-5;
  std::optional<f64> final_norm_eps;  // norm_eps when absent
  bool unit_norms = false;
  bool relu2 = false;  // gate; else silu
  bool phi = false;    // layer norms with biases, a feed-forward of gelu without a gate beside attention, under its norm
  std::vector<u32> windows;  // positions a token sees, itself among them, in each layer; 0: all; empty: all in every layer
  i64 context_limit = 0;     // positions up to which the frequencies are right; 0: there is no such limit
  Rope rope;
  std::optional<u32> bos;
  std::vector<u32> stop;
};

// Throws when a size is not between 1 and what the format can hold, naming the source.
void check_sizes(const Transformer& t, const std::string& source);

// Radians per position of each pair, as f32, and the factor of cosine and sine.
std::vector<f32> rope_frequencies(const Transformer& t);
f64 rope_attention_scale(const Rope& rope);

// Our name of a layer's tensor: "layers.3.attn_norm".
std::string layer_name(i64 layer, const char* tensor);

// What a tensor's name asks of its role and shape; the role of a name that the family does not have is not set.
struct Expected {
  std::optional<Role> role;
  i64 rows = 0, cols = 0;
};
Expected expected_of(const Transformer& t, const std::string& name);

// Adds metadata and `rope.inv_freq`, and checks that every tensor the family needs is there in its shape.
void complete(const Transformer& t, const std::string& source, Model* model);

}  // namespace edgellm::convert
