// RetNet as a folder with config.json and the names of syncdoth/RetNet (model type `retnet`), with gated feed-forward and norms
// before the blocks.
#include "retnet.h"

#include <cmath>

#include "fields.h"
#include "source.h"
#include "tokenizer.h"
#include "tokenizer_folder.h"

namespace edgellm::convert {
namespace {

bool flag_or(const Json& config, const char* key, bool fallback) {
  const Json* value = config.find(key);
  return value && value->boolean() ? *value->boolean() : fallback;
}

i64 whole(const Json& config, const char* key, i64 most, const std::string& source) {
  const i64 value = Fields(config, source).required(key);
  if (value < 1 || value > most) unusable(source, ": \"", key, "\" is ", value, ", expected 1 to ", most);
  return value;
}

void refuse_what_differs(const Json& config, const std::string& source) {
  struct Fixed {
    const char* key;
    bool value;
  };
  for (Fixed fixed : {Fixed{"use_glu", true}, Fixed{"decoder_normalize_before", true}, Fixed{"deepnorm", false}}) {
    if (flag_or(config, fixed.key, fixed.value) != fixed.value) {
      unusable(source, ": \"", fixed.key, "\" is ", fixed.value ? "false" : "true", ", which is not supported");
    }
  }
  const Json* activation = config.find("activation_fn");
  if (activation && activation->string() && *activation->string() != "swish") {
    unusable(source, ": \"activation_fn\" is \"", *activation->string(), "\", expected \"swish\"");
  }
}

RetNet read_config(const Json& config, const std::string& source) {
  RetNet s;
  s.layers = whole(config, "decoder_layers", 4096, source);
  s.dim = whole(config, "decoder_embed_dim", MAX_COLUMNS, source);
  s.value_dim = whole(config, "decoder_value_embed_dim", MAX_COLUMNS, source);
  s.ffn_dim = whole(config, "decoder_ffn_embed_dim", MAX_COLUMNS, source);
  s.heads = whole(config, "decoder_retention_heads", 4096, source);
  s.vocab = whole(config, "vocab_size", 1 << 24, source);
  s.embed_norm = flag_or(config, "layernorm_embedding", true);
  s.scale_embedding = !flag_or(config, "no_scale_embedding", true);
  s.lm_decay = flag_or(config, "use_lm_decay", false);
  s.tied = flag_or(config, "tie_word_embeddings", false);
  if (const Json* eps = config.find("layernorm_eps"); eps && eps->number()) s.norm_eps = *eps->number();
  if (s.dim % (2 * s.heads) != 0 || s.value_dim % s.heads != 0) {
    unusable(source, ": ", s.heads, " heads do not divide ", s.dim, " keys into pairs and ", s.value_dim, " values");
  }
  return s;
}

}  // namespace

Family retnet_family(const RetNet& s) {
  Family family{{}, s.vocab, {}};
  auto size = [&](const char* key, i64 value) { family.metadata.emplace_back(key, static_cast<u32>(value)); };
  family.metadata.emplace_back("arch", "retnet");
  size("layers", s.layers);
  size("dim", s.dim);
  size("value_dim", s.value_dim);
  size("ffn_dim", s.ffn_dim);
  size("heads", s.heads);
  size("vocab", s.vocab);
  size("context", s.context);
  family.metadata.emplace_back("norm_eps", static_cast<f32>(s.norm_eps));
  const f32 scale = s.scale_embedding ? std::sqrt(static_cast<f32>(s.dim)) : 1;
  Parts parts(&family.parts);
  parts.add("embed", "model.embed_tokens.weight", Role::embedding, s.vocab, s.dim).factor = scale;
  if (s.embed_norm) parts.vector("embed_norm", "model.layernorm_embedding.weight", s.dim, 1, 0.1f);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(text("layers.", layer, "."), text("model.layers.", layer, "."));
    parts.vector("ret_norm", "retention_layer_norm.weight", s.dim, 1, 0.1f);
    parts.matrix("q", "retention.q_proj.weight", s.dim, s.dim);
    parts.matrix("k", "retention.k_proj.weight", s.dim, s.dim);
    parts.matrix("v", "retention.v_proj.weight", s.value_dim, s.dim);
    parts.matrix("g", "retention.g_proj.weight", s.value_dim, s.dim);
    parts.matrix("o", "retention.out_proj.weight", s.dim, s.value_dim);
    parts.vector("ffn_norm", "final_layer_norm.weight", s.dim, 1, 0.1f);
    parts.matrix("gate", "ffn.fc1.weight", s.ffn_dim, s.dim);
    parts.matrix("up", "ffn.gate.weight", s.ffn_dim, s.dim);
    parts.matrix("down", "ffn.fc2.weight", s.dim, s.ffn_dim);
  }
  parts.prefix("", "");
  Part& norm = parts.vector("norm", "model.layer_norm.weight", s.dim, 1, 0.1f);
  if (s.tied) norm.factor = 1 / scale;  // the head is the scaled embedding
  if (!s.tied) parts.add("head", "lm_head.weight", Role::head, s.vocab, s.dim);
  return family;
}

void add_computed(const RetNet& s, Model* model) {
  std::vector<f32> frequencies, decays;
  const i64 pairs = s.dim / s.heads / 2;
  for (i64 i = 0; i < pairs; i++) {
    f64 share = pairs > 1 ? static_cast<f64>(i) / static_cast<f64>(pairs - 1) : 0;
    frequencies.push_back(static_cast<f32>(std::pow(10000.0, -share)));
  }
  for (i64 head = 0; head < s.heads; head++) {
    f64 share = s.heads > 1 ? static_cast<f64>(head) / static_cast<f64>(s.heads - 1) : 0;
    f64 lost = s.lm_decay ? 1.0 / 32 * std::pow(32.0 / 512, share) : std::exp2(-5.0 - static_cast<f64>(head));
    decays.push_back(static_cast<f32>(1 - lost));
  }
  model->tensors.push_back(std::make_unique<ComputedVector>("rope.inv_freq", frequencies));
  model->tensors.push_back(std::make_unique<ComputedVector>("decay", decays));
}

bool is_retnet(const std::string& path, Bytes) {
  if (!is_folder(path) || !file_exists(path + "/config.json")) return false;
  Json config = read_json(path + "/config.json");
  const Json* type = config.find("model_type");
  return type && type->string() && *type->string() == "retnet";
}

Model open_retnet(const std::string& path) {
  const std::string config_path = path + "/config.json";
  Json config = read_json(config_path);
  refuse_what_differs(config, config_path);
  const RetNet shape = read_config(config, config_path);
  StoredTensors stored = read_weights(path);
  if (shape.tied) stored.erase("lm_head.weight");
  Model model = take_parts(retnet_family(shape), std::move(stored), path, {"retnet_rel_pos.angle", "retnet_rel_pos.decay"});
  add_computed(shape, &model);
  if (has_tokenizer(path)) model.tokenizer = path;
  model.stop = read_generation_ids(path, model.vocab).eos;
  return model;
}

}  // namespace edgellm::convert
