#include "convert/family/transformer.h"

#include <algorithm>
#include <cmath>

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

i64 rotated_dims(const Transformer& t) {
  return t.rope.dims ? t.rope.dims : t.head_dim;
}

// Nothing where all tokens see all positions, one number for layers that are alike.
std::optional<MetadataValue> window_value(const std::vector<u32>& windows) {
  if (std::all_of(windows.begin(), windows.end(), [](u32 window) { return window == 0; })) return std::nullopt;
  if (std::all_of(windows.begin(), windows.end(), [&](u32 window) { return window == windows[0]; })) return windows[0];
  return windows;
}

}  // namespace

void check_sizes(const Transformer& t, const std::string& source) {
  struct Size {
    const char* name;
    i64 value, most;
  };
  const Size sizes[] = {{"layers", t.layers, MAX_LAYERS},     {"hidden size", t.dim, MAX_COLUMNS},
                        {"ffn size", t.ffn_dim, MAX_COLUMNS}, {"heads", t.heads, MAX_HEADS},
                        {"kv heads", t.kv_heads, MAX_HEADS},  {"head size", t.head_dim, MAX_HEAD_DIM},
                        {"vocabulary", t.vocab, MAX_VOCAB},   {"context", t.context, MAX_CONTEXT}};
  for (const Size& size : sizes)
    check_size(size.name, size.value, size.most, source);
  if (t.heads % t.kv_heads != 0) unusable(source, ": ", t.heads, " heads are not a multiple of ", t.kv_heads, " kv heads");
  if (t.heads * t.head_dim > MAX_COLUMNS) {
    unusable(source, ": ", t.heads, " heads of ", t.head_dim, " are more than ", MAX_COLUMNS, " columns");
  }
  i64 dims = rotated_dims(t);
  if (dims < 2 || dims > t.head_dim || dims % 2 != 0) {
    unusable(source, ": ", dims, " rotated dimensions, expected an even number up to the head size ", t.head_dim);
  }
  const Rope& rope = t.rope;
  bool stretched = rope.scaling != Rope::Scaling::none;
  bool needs_context = rope.scaling == Rope::Scaling::llama3 || rope.scaling == Rope::Scaling::yarn;
  if (!(rope.theta > 1) || !std::isfinite(rope.theta) || (stretched && !(rope.factor > 0)) ||
      (needs_context && !(rope.original_context > 0)) || !(rope.high_freq_factor > rope.low_freq_factor)) {
    unusable(source, ": rotary embedding of theta ", rope.theta, ", factor ", rope.factor, ", original context ",
             rope.original_context, ", frequency factors ", rope.low_freq_factor, " and ", rope.high_freq_factor,
             " makes no sense");
  }
  check_epsilon("norm epsilon", t.norm_eps, source);
  check_epsilon("epsilon of the last norm", t.final_norm_eps.value_or(t.norm_eps), source);
  constexpr f64 LEAST = static_cast<f64>(MIN_ROPE_SCALE), MOST = static_cast<f64>(MAX_ROPE_SCALE);
  if (f64 scale = rope_attention_scale(rope); !(scale >= LEAST && scale <= MOST)) {
    unusable(source, ": the rotary embedding's attention factor is ", scale, ", expected ", LEAST, " to ", MOST);
  }
}

std::vector<f32> rope_frequencies(const Transformer& t) {
  i64 dims = rotated_dims(t);
  std::vector<f32> out;
  for (i64 i = 0; i < dims / 2; i++) {
    f64 frequency = std::pow(t.rope.theta, -2.0 * static_cast<f64>(i) / static_cast<f64>(dims));
    if (!t.rope.divisors.empty()) frequency /= static_cast<f64>(t.rope.divisors[static_cast<size_t>(i)]);
    out.push_back(static_cast<f32>(scaled(t.rope, static_cast<f64>(dims), static_cast<f64>(i), frequency)));
  }
  return out;
}

f64 rope_attention_scale(const Rope& rope) {
  if (rope.scaling != Rope::Scaling::yarn) return 1;
  if (rope.attention_factor > 0) return rope.attention_factor;
  return rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
}

namespace {

// What writes to the residual stream in a model of random weights: all blocks together one layer's worth.
f32 share_of_stream(const Part& matrix, const Transformer& t) {
  return 1 / std::sqrt(static_cast<f32>(matrix.cols)) / std::sqrt(2 * static_cast<f32>(t.layers));
}

std::vector<f32> checked_frequencies(const Transformer& t, const std::string& source) {
  std::vector<f32> frequencies = rope_frequencies(t);
  for (size_t i = 0; i < frequencies.size(); i++) {
    if (frequencies[i] > 0 && std::isfinite(frequencies[i])) continue;
    unusable(source, ": rotary embedding of theta ", t.rope.theta, " and factor ", t.rope.factor, ": the frequency of pair ",
             i, " is ", frequencies[i], " as an f32");
  }
  return frequencies;
}

void add_metadata(const Transformer& t, Family* family) {
  family->word("arch", "transformer");
  family->size("layers", t.layers);
  family->size("dim", t.dim);
  family->size("ffn_dim", t.ffn_dim);
  family->size("heads", t.heads);
  family->size("kv_heads", t.kv_heads);
  family->size("head_dim", t.head_dim);
  family->size("vocab", t.vocab);
  family->size("context", t.context);
  family->real("norm_eps", t.norm_eps);
  if (t.final_norm_eps) family->real("final_norm_eps", *t.final_norm_eps);
  if (t.norm == Norm::unit) family->size("unit_norms", 1);
  if (t.norm == Norm::layer) family->word("norm", "layer");
  if (t.parallel) family->size("parallel", 1);
  if (std::optional<MetadataValue> window = window_value(t.windows)) family->metadata.emplace_back("window", *window);
  if (t.context_limit) family->size("context_limit", t.context_limit);
  family->word("gate", t.gate == Gate::gelu ? "gelu" : t.gate == Gate::relu2 ? "relu2" : "silu");
  family->word("rope", t.rope.interleaved ? "interleaved" : "half");
  const f64 scale = rope_attention_scale(t.rope);
  if (scale < 1 || scale > 1) family->real("rope_attention_scale", scale);
}

}  // namespace

// Names: ours, Hugging Face's, llama.cpp's, those of Phi and BitnetForCausalLM.
void add_attention(const Transformer& t, Parts* parts) {
  const i64 q = t.heads * t.head_dim, kv = t.kv_heads * t.head_dim;
  auto bias = [&](const char* ours, const Names& theirs, i64 n, Presence presence) -> Part& {
    Part& part = parts->vector(ours, theirs, n, 0);
    part.presence = presence;
    return part;
  };
  parts->vector("attn_norm", {"input_layernorm.weight", "attn_norm.weight"}, t.dim).presence =
      t.norm == Norm::unit ? Presence::optional : Presence::needed;
  bias("attn_norm_bias", {"input_layernorm.bias", "attn_norm.bias"}, t.dim, t.has.norm_biases);
  parts->matrix("q", {"self_attn.q_proj.weight", "attn_q.weight"}, q, t.dim).rotary = true;
  parts->matrix("k", {"self_attn.k_proj.weight", "attn_k.weight"}, kv, t.dim).rotary = true;
  parts->matrix("v", {"self_attn.v_proj.weight", "attn_v.weight"}, kv, t.dim);
  bias("q_bias", {"self_attn.q_proj.bias", "attn_q.bias"}, q, t.has.qkv_biases).rotary = true;
  bias("k_bias", {"self_attn.k_proj.bias", "attn_k.bias"}, kv, t.has.qkv_biases).rotary = true;
  bias("v_bias", {"self_attn.v_proj.bias", "attn_v.bias"}, kv, t.has.qkv_biases);
  parts->vector("q_norm", {"self_attn.q_norm.weight", "attn_q_norm.weight"}, t.head_dim).presence = t.has.head_norms;
  parts->vector("k_norm", {"self_attn.k_norm.weight", "attn_k_norm.weight"}, t.head_dim).presence = t.has.head_norms;
  const Names sub_norm("self_attn.attn_sub_norm.weight", "attn_sub_norm.weight", "self_attn.inner_attn_ln.weight");
  parts->vector("attn_sub_norm", sub_norm, q).presence = t.has.sub_norms;
  Part& o = parts->matrix("o", {"self_attn.o_proj.weight", "attn_output.weight", "self_attn.dense.weight"}, t.dim, q);
  o.deviation = share_of_stream(o, t);
  bias("o_bias", {"self_attn.o_proj.bias", "attn_output.bias", "self_attn.dense.bias"}, t.dim, t.has.o_bias);
}

void add_ffn(const Transformer& t, Parts* parts) {
  auto bias = [&](const char* ours, const Names& theirs, i64 n) {
    parts->vector(ours, theirs, n, 0).presence = t.has.ffn_biases;
  };
  if (!t.parallel) {
    parts->vector("ffn_norm", {"post_attention_layernorm.weight", "ffn_norm.weight"}, t.dim).presence =
        t.norm == Norm::unit ? Presence::optional : Presence::needed;
  }
  if (t.gate != Gate::gelu) {
    parts->matrix("gate", {"mlp.gate_proj.weight", "ffn_gate.weight"}, t.ffn_dim, t.dim);
    bias("gate_bias", {"mlp.gate_proj.bias", "ffn_gate.bias"}, t.ffn_dim);
  }
  parts->matrix("up", {"mlp.up_proj.weight", "ffn_up.weight", "mlp.fc1.weight"}, t.ffn_dim, t.dim);
  bias("up_bias", {"mlp.up_proj.bias", "ffn_up.bias", "mlp.fc1.bias"}, t.ffn_dim);
  const Names sub_norm("mlp.ffn_sub_norm.weight", "ffn_sub_norm.weight", "mlp.ffn_layernorm.weight");
  parts->vector("ffn_sub_norm", sub_norm, t.ffn_dim).presence = t.has.sub_norms;
  Part& down = parts->matrix("down", {"mlp.down_proj.weight", "ffn_down.weight", "mlp.fc2.weight"}, t.dim, t.ffn_dim);
  down.deviation = share_of_stream(down, t);
  bias("down_bias", {"mlp.down_proj.bias", "ffn_down.bias", "mlp.fc2.bias"}, t.dim);
}

Family transformer_family(const Transformer& t, const std::string& source) {
  Family family;
  family.vocab = t.vocab;
  add_metadata(t, &family);
  if (t.bos && *t.bos < t.vocab) family.bos = t.bos;
  for (u32 id : t.stop) {
    if (id < t.vocab) family.stop.push_back(id);
  }
  Parts parts(&family.parts);
  parts.computed("rope.inv_freq", checked_frequencies(t, source));
  const Names embed("model.embed_tokens.weight", "token_embd.weight");
  parts.add("embed", embed, Role::embedding, t.vocab, t.dim).deviation = 3 / std::sqrt(static_cast<f32>(t.dim));
  for (i64 layer = 0; layer < t.layers; layer++) {
    parts.prefix(layer_name(layer), {text("model.layers.", layer, "."), text("blk.", layer, ".")});
    add_attention(t, &parts);
    add_ffn(t, &parts);
  }
  parts.prefix("", "");
  parts.vector("norm", {"model.norm.weight", "output_norm.weight", "model.final_layernorm.weight"}, t.dim);
  parts.vector("norm_bias", {"model.final_layernorm.bias", "output_norm.bias"}, t.dim, 0).presence = t.has.norm_biases;
  parts.add("head", {"lm_head.weight", "output.weight"}, Role::head, t.vocab, t.dim).presence = Presence::optional;
  parts.vector("head_bias", {"lm_head.bias", "output.bias"}, t.vocab, 0).presence = t.has.head_bias;
  return family;
}

}  // namespace edgellm::convert
