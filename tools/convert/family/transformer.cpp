#include "convert/family/transformer.h"

#include <algorithm>
#include <cmath>

#include "file/limits.h"

namespace edgellm::convert {
namespace {

// Nothing where all tokens see all positions, one number for layers that are alike.
std::optional<MetadataValue> window_value(const std::vector<u32>& windows) {
  if (std::all_of(windows.begin(), windows.end(), [](u32 window) { return window == 0; })) return std::nullopt;
  if (std::all_of(windows.begin(), windows.end(), [&](u32 window) { return window == windows[0]; })) return windows[0];
  return windows;
}

// What writes to the residual stream in a model of random weights: all blocks together one layer's worth.
f32 share_of_stream(const Part& matrix, const Transformer& t) {
  return 1 / std::sqrt(static_cast<f32>(matrix.cols)) / std::sqrt(2 * static_cast<f32>(t.layers));
}

void add_metadata(const Transformer& t, ModelTable* table) {
  table->word("arch", "transformer");
  table->size("layers", t.layers);
  table->size("dim", t.dim);
  table->size("ffn_dim", t.ffn_dim);
  table->size("heads", t.heads);
  table->size("kv_heads", t.kv_heads);
  table->size("head_dim", t.head_dim);
  table->size("vocab", t.vocab);
  table->size("context", t.context);
  table->real("norm_eps", t.norm_eps);
  if (t.final_norm_eps) table->real("final_norm_eps", *t.final_norm_eps);
  if (t.norm == Norm::unit) table->size("unit_norms", 1);
  if (t.norm == Norm::layer) table->word("norm", "layer");
  if (t.parallel) table->size("parallel", 1);
  if (std::optional<MetadataValue> window = window_value(t.windows)) table->metadata.emplace_back("window", *window);
  if (t.context_limit) table->size("context_limit", t.context_limit);
  table->word("gate", t.gate == Gate::gelu ? "gelu" : t.gate == Gate::relu2 ? "relu2" : "silu");
  table->word("rope", t.rope.interleaved ? "interleaved" : "half");
  const f64 scale = rope_attention_scale(t.rope);
  if (scale < 1 || scale > 1) table->real("rope_attention_scale", scale);
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
  check_rope(t.rope, t.head_dim, source);
  check_epsilon("norm epsilon", t.norm_eps, source);
  check_epsilon("epsilon of the last norm", t.final_norm_eps.value_or(t.norm_eps), source);
}

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

ModelTable transformer_family(const Transformer& t, const std::string& source) {
  ModelTable table;
  table.name = "a transformer";
  table.vocab = t.vocab;
  add_metadata(t, &table);
  if (t.bos && *t.bos < t.vocab) table.bos = t.bos;
  for (u32 id : t.stop) {
    if (id < t.vocab) table.stop.push_back(id);
  }
  Parts parts(&table.parts);
  parts.computed("rope.inv_freq", rope_frequencies(t.rope, t.head_dim, source));
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
  return table;
}

}  // namespace edgellm::convert
