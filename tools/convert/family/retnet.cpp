// RetNet as a folder with config.json and the names of syncdoth/RetNet (model type `retnet`), with gated feed-forward and norms
// before the blocks.
#include "convert/family/retnet.h"

#include <cmath>

#include "convert/base/fields.h"
#include "convert/family/hf_fields.h"
#include "convert/family/open.h"
#include "convert/tokenizer/folder.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

i64 whole(const Fields& config, const char* key, i64 most) {
  const i64 value = config.required(key);
  check_size(key, value, most, config.where());
  return value;
}

RetNet read_config(const Fields& config) {
  RetNet s;
  s.layers = whole(config, "decoder_layers", MAX_LAYERS);
  s.dim = whole(config, "decoder_embed_dim", MAX_COLUMNS);
  s.value_dim = whole(config, "decoder_value_embed_dim", MAX_COLUMNS);
  s.ffn_dim = whole(config, "decoder_ffn_embed_dim", MAX_COLUMNS);
  s.heads = whole(config, "decoder_retention_heads", MAX_HEADS);
  s.vocab = whole(config, "vocab_size", MAX_VOCAB);
  s.embed_norm = config.flag("layernorm_embedding").value_or(false);
  s.scale_embedding = !config.flag("no_scale_embedding").value_or(true);
  s.lm_decay = config.flag("use_lm_decay").value_or(false);
  s.tied = config.flag("tie_word_embeddings").value_or(false);
  s.norm_eps = config.number("layernorm_eps").value_or(s.norm_eps);
  check_epsilon("layernorm_eps", s.norm_eps, config.where());
  if (s.dim % (2 * s.heads) != 0 || s.value_dim % s.heads != 0) {
    unusable(config.where(), ": ", s.heads, " heads do not divide ", s.dim, " keys into pairs and ", s.value_dim, " values");
  }
  return s;
}

std::vector<f32> frequencies(const RetNet& s) {
  std::vector<f32> out;
  const i64 pairs = s.dim / s.heads / 2;
  for (i64 i = 0; i < pairs; i++) {
    const f64 share = pairs > 1 ? static_cast<f64>(i) / static_cast<f64>(pairs - 1) : 0;
    out.push_back(static_cast<f32>(std::pow(10000.0, -share)));
  }
  return out;
}

std::vector<f32> decays(const RetNet& s) {
  std::vector<f32> out;
  for (i64 head = 0; head < s.heads; head++) {
    const f64 share = s.heads > 1 ? static_cast<f64>(head) / static_cast<f64>(s.heads - 1) : 0;
    const f64 lost = s.lm_decay ? 1.0 / 32 * std::pow(32.0 / 512, share) : std::exp2(-5.0 - static_cast<f64>(head));
    out.push_back(static_cast<f32>(1 - lost));
  }
  return out;
}

constexpr const char* RETNET = "RetNet";

}  // namespace

void add_retention(const RetNet& s, Parts* parts) {
  parts->vector("ret_norm", "retention_layer_norm.weight", s.dim);
  parts->matrix("q", "retention.q_proj.weight", s.dim, s.dim);
  parts->matrix("k", "retention.k_proj.weight", s.dim, s.dim);
  parts->matrix("v", "retention.v_proj.weight", s.value_dim, s.dim);
  parts->matrix("g", "retention.g_proj.weight", s.value_dim, s.dim);
  parts->matrix("o", "retention.out_proj.weight", s.dim, s.value_dim);
}

void add_retnet_ffn(const RetNet& s, Parts* parts) {
  parts->vector("ffn_norm", "final_layer_norm.weight", s.dim);
  parts->matrix("gate", "ffn.fc1.weight", s.ffn_dim, s.dim);
  parts->matrix("up", "ffn.gate.weight", s.ffn_dim, s.dim);
  parts->matrix("down", "ffn.fc2.weight", s.dim, s.ffn_dim);
}

ModelTable retnet_family(const RetNet& s) {
  ModelTable table;
  table.name = RETNET;
  table.vocab = s.vocab;
  table.word("arch", "retnet");
  table.size("layers", s.layers);
  table.size("dim", s.dim);
  table.size("value_dim", s.value_dim);
  table.size("ffn_dim", s.ffn_dim);
  table.size("heads", s.heads);
  table.size("vocab", s.vocab);
  table.size("context", s.context);
  table.real("norm_eps", s.norm_eps);
  const f32 scale = s.scale_embedding ? std::sqrt(static_cast<f32>(s.dim)) : 1;
  Parts parts(&table.parts);
  parts.add("embed", "model.embed_tokens.weight", Role::embedding, s.vocab, s.dim).factor = scale;
  if (s.embed_norm) parts.vector("embed_norm", "model.layernorm_embedding.weight", s.dim);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(layer_name(layer), text("model.layers.", layer, "."));
    add_retention(s, &parts);
    add_retnet_ffn(s, &parts);
  }
  parts.prefix("", "");
  Part& norm = parts.vector("norm", "model.layer_norm.weight", s.dim);
  if (s.tied) norm.factor = 1 / scale;  // the head is the scaled embedding
  if (!s.tied) parts.add("head", "lm_head.weight", Role::head, s.vocab, s.dim);
  parts.computed("rope.inv_freq", frequencies(s));
  parts.computed("decay", decays(s));
  return table;
}

std::vector<std::string> retnet_families() {
  return {RETNET};
}

bool is_retnet(const Source& source) {
  return source.model_type() == "retnet";
}

Model open_retnet(const Source& source) {
  const std::string& path = source.path;
  std::vector<std::string> notes;
  const Json json = complete_config(*source.config, source.config_path, config_class("RetNetConfig"), &notes);
  const Fields config(json, source.config_path);
  const RetNet shape = read_config(config);
  StoredTensors stored = read_weights(path);
  // Its code runs with versions of transformers that drop the head.
  if (tie_head(&stored, "model.embed_tokens.weight", "lm_head.weight", shape.tied, path, &notes) != shape.tied) {
    unusable(source.config_path, ": \"tie_word_embeddings\" is true, but lm_head.weight differs from the embedding");
  }
  const Taking from{Naming::published, path, {"retnet_rel_pos.angle", "retnet_rel_pos.decay"}, BY_CONFIG};
  Model model = take_floats(retnet_family(shape), std::move(stored), from);
  model.notes = std::move(notes);
  model.tokenizer = find_tokenizer(path);
  model.stop = read_generation_ids(path, source.config.get(), model.vocab).eos;
  return model;
}

}  // namespace edgellm::convert
