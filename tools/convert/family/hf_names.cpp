#include "convert/family/hf_names.h"

#include "convert/base/error.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

constexpr struct {
  const char* theirs;
  const char* ours;
} LAYER_NAMES[] = {
    {"input_layernorm.weight", "attn_norm"},
    {"input_layernorm.bias", "attn_norm_bias"},  // Phi
    {"self_attn.q_proj.weight", "q"},
    {"self_attn.k_proj.weight", "k"},
    {"self_attn.v_proj.weight", "v"},
    {"self_attn.q_proj.bias", "q_bias"},
    {"self_attn.k_proj.bias", "k_bias"},
    {"self_attn.v_proj.bias", "v_bias"},
    {"self_attn.q_norm.weight", "q_norm"},
    {"self_attn.k_norm.weight", "k_norm"},
    {"self_attn.attn_sub_norm.weight", "attn_sub_norm"},
    {"self_attn.inner_attn_ln.weight", "attn_sub_norm"},  // BitnetForCausalLM
    {"self_attn.o_proj.weight", "o"},
    {"self_attn.o_proj.bias", "o_bias"},
    {"self_attn.dense.weight", "o"},     // Phi
    {"self_attn.dense.bias", "o_bias"},  // Phi
    {"post_attention_layernorm.weight", "ffn_norm"},
    {"mlp.gate_proj.weight", "gate"},
    {"mlp.gate_proj.bias", "gate_bias"},
    {"mlp.up_proj.weight", "up"},
    {"mlp.up_proj.bias", "up_bias"},
    {"mlp.fc1.weight", "up"},     // Phi
    {"mlp.fc1.bias", "up_bias"},  // Phi
    {"mlp.ffn_sub_norm.weight", "ffn_sub_norm"},
    {"mlp.ffn_layernorm.weight", "ffn_sub_norm"},  // BitnetForCausalLM
    {"mlp.down_proj.weight", "down"},
    {"mlp.down_proj.bias", "down_bias"},
    {"mlp.fc2.weight", "down"},     // Phi
    {"mlp.fc2.bias", "down_bias"},  // Phi
};

}  // namespace

std::vector<Rename> hf_names(i64 layers) {
  std::vector<Rename> names{{"model.embed_tokens.weight", "embed"}};
  for (i64 layer = 0; layer < layers; layer++) {
    for (const auto& name : LAYER_NAMES) {
      names.push_back({text("model.layers.", layer, ".", name.theirs), layer_name(layer, name.ours)});
    }
  }
  names.push_back({"model.norm.weight", "norm"});
  names.push_back({"model.final_layernorm.weight", "norm"});  // Phi
  names.push_back({"model.final_layernorm.bias", "norm_bias"});
  names.push_back({"lm_head.weight", "head"});
  names.push_back({"lm_head.bias", "head_bias"});
  return names;
}

}  // namespace edgellm::convert
