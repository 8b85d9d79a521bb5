// The `transformer` family of docs/FILE.md, as every source of it describes its model.
#pragma once
#include "convert/family/parts.h"
#include "convert/family/rope.h"

namespace edgellm::convert {

enum class Norm {
  rms,
  unit,   // rms without weights
  layer,  // mean and variance, with biases
};

enum class Gate {
  silu,
  relu2,
  gelu,  // of `up` itself: there is no matrix `gate`
};

struct Transformer {
  i64 layers = 0, dim = 0, ffn_dim = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0, context = 0;
  f64 norm_eps = 1e-5;
  std::optional<f64> final_norm_eps;  // norm_eps when absent
  Norm norm = Norm::rms;
  Gate gate = Gate::silu;
  bool parallel = false;  // the feed-forward is beside attention, under its norm
  struct {                // optional: its tensors show it
    Presence qkv_biases = Presence::optional, o_bias = Presence::optional, ffn_biases = Presence::optional;
    Presence norm_biases = Presence::optional, head_bias = Presence::optional;
    Presence head_norms = Presence::optional;  // of q and k
    Presence sub_norms = Presence::optional;   // before `o` and `down`
  } has;
  std::vector<u32> windows;  // positions a token sees, itself among them, in each layer; 0: all; empty: all in every layer
  i64 context_limit = 0;     // positions up to which the frequencies are right; 0: there is no such limit
  Rope rope;
  std::optional<u32> bos;
  std::vector<u32> stop;
};

// Throws when a size is not between 1 and what the format can hold, naming the source.
void check_sizes(const Transformer& t, const std::string& source);

// One layer's blocks.
void add_attention(const Transformer& t, Parts* parts);
void add_ffn(const Transformer& t, Parts* parts);

// Throws, naming the source, where its rotary frequencies are not numbers.
ModelTable transformer_family(const Transformer& t, const std::string& source);

}  // namespace edgellm::convert
