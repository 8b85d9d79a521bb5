// RWKV-4 and RWKV-7: a .pth or safetensors file or a folder with the author's names (BlinkDL/RWKV-LM), or a Hugging Face folder of
// model type `rwkv` (transformers, convert_rwkv_checkpoint_to_hf.py). The author's low-rank matrices multiply from the right,
// and so are transposed here; RWKV-4's mixing weights are shares of the token at hand, ours of the one before.
#include "convert/family/rwkv.h"

#include <cmath>
#include <utility>

#include "convert/base/fields.h"
#include "convert/family/hf_fields.h"
#include "convert/family/source.h"
#include "convert/source/pth.h"
#include "convert/source/safetensors.h"
#include "convert/tokenizer/folder.h"
#include "file/limits.h"

namespace edgellm::convert {

const std::vector<NamedRwkv> SYNTHETIC_RWKV = {
    {"rwkv7-tiny",
     {.layers = 2,
      .dim = 64,
      .ffn_dim = 256,
      .vocab = 256,
      .head_dim = 16,
      .rank_w = 16,
      .rank_a = 16,
      .rank_v = 8,
      .rank_g = 24}},
    {"rwkv7-0.4b",
     {.layers = 24, .dim = 1024, .ffn_dim = 4096, .vocab = 65536, .rank_w = 64, .rank_a = 64, .rank_v = 32, .rank_g = 128}},
    {"rwkv4-tiny", {.version = 4, .layers = 2, .dim = 64, .ffn_dim = 256, .vocab = 256, .att_dim = 64}},
};

namespace {

void add_norm(Parts& parts, const std::string& ours, const std::string& theirs, i64 n) {
  parts.vector(ours, theirs + ".weight", n, 1, 0.1f);
  parts.vector(ours + "_bias", theirs + ".bias", n, 0, 0.1f);
}

// (dim, rank) times (rank, dim), with or without a bias.
void add_low_rank(Parts& parts, const std::string& letter, i64 dim, i64 rank, bool biased, f32 mean) {
  if (biased) parts.vector(letter + "0", "att." + letter + "0", dim, mean, 0.5f);
  parts.add(letter + "1", "att." + letter + "1", Role::narrow, rank, dim).change = Change::transposed;
  parts.add(letter + "2", "att." + letter + "2", Role::narrow, dim, rank).change = Change::transposed;
}

void add_rwkv7_layer(const Rwkv& s, i64 layer, Parts& parts) {
  add_norm(parts, "att_norm", "ln1", s.dim);
  for (const char* use : {"r", "w", "k", "v", "a", "g"})
    parts.vector(text("mix_", use), text("att.x_", use), s.dim, 0.5f, 0.2f);
  parts.matrix("r", "att.receptance.weight", s.dim, s.dim);
  parts.matrix("k", "att.key.weight", s.dim, s.dim);
  parts.matrix("v", "att.value.weight", s.dim, s.dim);
  add_low_rank(parts, "w", s.dim, s.rank_w, true, -2);
  add_low_rank(parts, "a", s.dim, s.rank_a, true, 0);
  add_low_rank(parts, "g", s.dim, s.rank_g, false, 0);
  if (layer > 0) add_low_rank(parts, "v", s.dim, s.rank_v, true, 1);
  parts.vector("k_k", "att.k_k", s.dim, 0.85f, 0.1f);
  parts.vector("k_a", "att.k_a", s.dim, 1, 0.1f);
  parts.vector("r_k", "att.r_k", s.dim, 0, 0.1f);
  add_norm(parts, "head_norm", "att.ln_x", s.dim);
  parts.matrix("o", "att.output.weight", s.dim, s.dim);
  add_norm(parts, "ffn_norm", "ln2", s.dim);
  parts.vector("ffn_mix", "ffn.x_k", s.dim, 0.5f, 0.2f);
  parts.matrix("ffn_k", "ffn.key.weight", s.ffn_dim, s.dim);
  parts.matrix("ffn_v", "ffn.value.weight", s.dim, s.ffn_dim);
}

void add_rwkv4_layer(const Rwkv& s, Parts& parts) {
  add_norm(parts, "att_norm", "ln1", s.dim);
  for (const char* use : {"k", "v", "r"})
    parts.vector(text("mix_", use), text("att.time_mix_", use), s.dim, 0.5f, 0.2f, Change::complement);
  parts.matrix("r", "att.receptance.weight", s.att_dim, s.dim);
  parts.matrix("k", "att.key.weight", s.att_dim, s.dim);
  parts.matrix("v", "att.value.weight", s.att_dim, s.dim);
  parts.vector("bonus", "att.time_first", s.att_dim, 0, 0.5f);
  parts.vector("rate", "att.time_decay", s.att_dim, -0.5f, 0.1f, Change::rate);
  parts.matrix("o", "att.output.weight", s.dim, s.att_dim);
  add_norm(parts, "ffn_norm", "ln2", s.dim);
  for (const char* use : {"k", "r"})
    parts.vector(text("ffn_mix_", use), text("ffn.time_mix_", use), s.dim, 0.5f, 0.2f, Change::complement);
  parts.matrix("ffn_r", "ffn.receptance.weight", s.dim, s.dim);
  parts.matrix("ffn_k", "ffn.key.weight", s.ffn_dim, s.dim);
  parts.matrix("ffn_v", "ffn.value.weight", s.dim, s.ffn_dim);
}

i64 count_layers(const StoredTensors& stored) {
  i64 layers = 0;
  while (stored.contains(text("blocks.", layers, ".ln1.weight")))
    layers++;
  return layers;
}

// The author's name of a tensor of a Hugging Face model.
std::string original_name(const std::string& hf) {
  static const std::pair<const char*, const char*> REPLACEMENTS[] = {{"rwkv.", ""},
                                                                     {"embeddings.", "emb."},
                                                                     {".pre_ln.", ".ln0."},
                                                                     {".attention.", ".att."},
                                                                     {".feed_forward.", ".ffn."},
                                                                     {".time_mix_key", ".time_mix_k"},
                                                                     {".time_mix_value", ".time_mix_v"},
                                                                     {".time_mix_receptance", ".time_mix_r"}};
  std::string name = hf;
  for (const auto& [theirs, original] : REPLACEMENTS) {
    size_t at = name.find(theirs);
    if (at != std::string::npos) name.replace(at, std::string(theirs).size(), original);
  }
  return name;
}

// Sizes, from those of the tensors.
Rwkv measure(const StoredTensors& stored, const std::string& source) {
  auto size = [&](const char* name, size_t index) { return size_of(stored, name, index, source); };
  Rwkv s;
  s.layers = count_layers(stored);
  s.vocab = size("emb.weight", 0);
  s.dim = size("emb.weight", 1);
  s.ffn_dim = size("blocks.0.ffn.key.weight", 0);
  s.tied = !stored.contains("head.weight");
  if (stored.contains("blocks.0.att.r_k")) {
    s.head_dim = size("blocks.0.att.r_k", 1);
    check_size("head size", s.head_dim, MAX_WKV7, source);
    s.rank_w = size("blocks.0.att.w1", 1);
    s.rank_a = size("blocks.0.att.a1", 1);
    s.rank_g = size("blocks.0.att.g1", 1);
    if (s.layers > 1) s.rank_v = size("blocks.1.att.v1", 1);
    return s;
  }
  if (!stored.contains("blocks.0.att.time_mix_k") || stored.contains("blocks.0.att.ln_x.weight")) {
    unusable(source, ": this RWKV is neither version 4 nor 7, the versions that can be converted");
  }
  s.version = 4;
  s.att_dim = size("blocks.0.att.key.weight", 0);
  s.context = 1024;
  return s;
}

bool is_rwkv_config(const std::string& path) {
  Json config = read_json(path);
  const Json* type = config.find("model_type");
  return type && type->string() && *type->string() == "rwkv";
}

// Of a Hugging Face folder, which is version 4.
void read_config(const std::string& path, StoredTensors* stored, Rwkv* shape, std::vector<std::string>* notes) {
  const Json complete = complete_config(read_json(path), path, config_class("RwkvConfig"), notes);
  const Fields fields(complete, path);
  shape->context = fields.required("context_length");
  check_size("context_length", shape->context, MAX_CONTEXT, path);
  check_agrees(fields, "vocab_size", shape->vocab);
  check_agrees(fields, "hidden_size", shape->dim);
  check_agrees(fields, "num_hidden_layers", shape->layers);
  check_agrees(fields, "attention_hidden_size", shape->att_dim);
  check_agrees(fields, "intermediate_size", shape->ffn_dim);
  const bool tied = fields.flag("tie_word_embeddings").value_or(false);
  shape->tied = tie_head(stored, "emb.weight", "head.weight", tied, path, notes);
}

constexpr const char* SAFETENSORS = ".safetensors";

StoredTensors read_file(const std::string& path) {
  return path.ends_with(SAFETENSORS) ? read_safetensors(path) : read_pth(path);
}

}  // namespace

Family rwkv_family(const Rwkv& s) {
  Family family{{}, s.vocab, {}};
  auto size = [&](const char* key, i64 value) { family.metadata.emplace_back(key, static_cast<u32>(value)); };
  family.metadata.emplace_back("arch", s.version == 7 ? "rwkv7" : "rwkv4");
  size("layers", s.layers);
  size("dim", s.dim);
  size("ffn_dim", s.ffn_dim);
  size("vocab", s.vocab);
  size("context", s.context);
  family.metadata.emplace_back("norm_eps", static_cast<f32>(s.norm_eps));
  if (s.version == 7) {
    size("head_dim", s.head_dim);
    family.metadata.emplace_back("head_norm_eps", static_cast<f32>(s.head_norm_eps));
  } else {
    size("att_dim", s.att_dim);
  }
  Parts parts(&family.parts);
  parts.add("embed", "emb.weight", Role::embedding, s.vocab, s.dim);
  add_norm(parts, "embed_norm", "blocks.0.ln0", s.dim);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(text("layers.", layer, "."), text("blocks.", layer, "."));
    if (s.version == 7) {
      add_rwkv7_layer(s, layer, parts);
    } else {
      add_rwkv4_layer(s, parts);
    }
  }
  parts.prefix("", "");
  add_norm(parts, "norm", "ln_out", s.dim);
  if (!s.tied)
    parts.add("head", "head.weight", Role::head, s.vocab, s.dim).deviation = 3 / std::sqrt(static_cast<f32>(s.dim));
  return family;
}

bool is_rwkv(const std::string& path, Bytes head) {
  if (!is_folder(path)) {
    return (path.ends_with(SAFETENSORS) || is_zip(head)) && read_file(path).contains("blocks.0.ln0.weight");
  }
  if (file_exists(path + "/config.json")) return is_rwkv_config(path + "/config.json");
  return file_exists(path + "/model.safetensors") &&
         read_safetensors(path + "/model.safetensors").contains("blocks.0.ln0.weight");
}

Model open_rwkv(const std::string& path) {
  StoredTensors stored;
  for (auto& [name, tensor] : is_folder(path) ? read_weights(path) : read_file(path))
    stored.emplace(original_name(name), std::move(tensor));
  Rwkv shape = measure(stored, path);
  std::string config = path + "/config.json";
  std::vector<std::string> notes;
  if (is_folder(path) && file_exists(config)) read_config(config, &stored, &shape, &notes);
  Model model =
      take_parts(rwkv_family(shape), std::move(stored), path, {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"});
  model.notes = std::move(notes);
  model.byte_tokenizer = shape.vocab == 256;
  if (!model.byte_tokenizer) model.tokenizer = find_tokenizer(is_folder(path) ? path : folder_of(path));
  return model;
}

}  // namespace edgellm::convert
