// RWKV-4 and RWKV-7: a .pth or safetensors file or a folder with the author's names (BlinkDL/RWKV-LM), or a Hugging Face folder of
// model type `rwkv` (transformers, convert_rwkv_checkpoint_to_hf.py). The author's low-rank matrices multiply from the right,
// and so are transposed here; RWKV-4's mixing weights are shares of the token at hand, ours of the one before.
#include "convert/family/rwkv.h"

#include <cmath>
#include <utility>

#include "convert/base/fields.h"
#include "convert/family/hf_fields.h"
#include "convert/family/open.h"
#include "convert/source/pth.h"
#include "convert/source/safetensors.h"
#include "convert/tokenizer/folder.h"
#include "file/limits.h"

namespace edgellm::convert {

namespace {

void add_norm(const std::string& ours, const std::string& theirs, i64 n, Parts* parts) {
  parts->vector(ours, theirs + ".weight", n);
  parts->vector(ours + "_bias", theirs + ".bias", n, 0);
}

// (dim, rank) times (rank, dim), with or without a bias.
void add_low_rank(const std::string& letter, i64 dim, i64 rank, bool biased, f32 mean, Parts* parts) {
  if (biased) parts->vector(letter + "0", "att." + letter + "0", dim, mean, 0.5f);
  parts->add(letter + "1", "att." + letter + "1", Role::narrow, rank, dim).change = Change::transposed;
  parts->add(letter + "2", "att." + letter + "2", Role::narrow, dim, rank).change = Change::transposed;
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

// Of a Hugging Face folder, which is version 4.
void read_config(const Source& source, StoredTensors* stored, Rwkv* shape, std::vector<std::string>* notes) {
  const std::string& path = source.config_path;
  const Json complete = complete_config(*source.config, path, config_class("RwkvConfig"), notes);
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
constexpr const char *RWKV4 = "RWKV-4", *RWKV7 = "RWKV-7";

StoredTensors read_file(const std::string& path) {
  return path.ends_with(SAFETENSORS) ? read_safetensors(path) : read_pth(path);
}

}  // namespace

void add_rwkv7_time(const Rwkv& s, i64 layer, Parts* parts) {
  add_norm("att_norm", "ln1", s.dim, parts);
  for (const char* use : {"r", "w", "k", "v", "a", "g"})
    parts->vector(text("mix_", use), text("att.x_", use), s.dim, 0.5f, 0.2f);
  parts->matrix("r", "att.receptance.weight", s.dim, s.dim);
  parts->matrix("k", "att.key.weight", s.dim, s.dim);
  parts->matrix("v", "att.value.weight", s.dim, s.dim);
  add_low_rank("w", s.dim, s.rank_w, true, -2, parts);
  add_low_rank("a", s.dim, s.rank_a, true, 0, parts);
  add_low_rank("g", s.dim, s.rank_g, false, 0, parts);
  if (layer > 0) add_low_rank("v", s.dim, s.rank_v, true, 1, parts);
  parts->vector("k_k", "att.k_k", s.dim, 0.85f);
  parts->vector("k_a", "att.k_a", s.dim);
  parts->vector("r_k", "att.r_k", s.dim, 0);
  add_norm("head_norm", "att.ln_x", s.dim, parts);
  parts->matrix("o", "att.output.weight", s.dim, s.dim);
}

void add_rwkv7_channel(const Rwkv& s, Parts* parts) {
  add_norm("ffn_norm", "ln2", s.dim, parts);
  parts->vector("ffn_mix", "ffn.x_k", s.dim, 0.5f, 0.2f);
  parts->matrix("ffn_k", "ffn.key.weight", s.ffn_dim, s.dim);
  parts->matrix("ffn_v", "ffn.value.weight", s.dim, s.ffn_dim);
}

void add_rwkv4_time(const Rwkv& s, Parts* parts) {
  add_norm("att_norm", "ln1", s.dim, parts);
  for (const char* use : {"k", "v", "r"})
    parts->vector(text("mix_", use), text("att.time_mix_", use), s.dim, 0.5f, 0.2f, Change::complement);
  parts->matrix("r", "att.receptance.weight", s.att_dim, s.dim);
  parts->matrix("k", "att.key.weight", s.att_dim, s.dim);
  parts->matrix("v", "att.value.weight", s.att_dim, s.dim);
  parts->vector("bonus", "att.time_first", s.att_dim, 0, 0.5f);
  parts->vector("rate", "att.time_decay", s.att_dim, -0.5f, 0.1f, Change::rate);
  parts->matrix("o", "att.output.weight", s.dim, s.att_dim);
}

void add_rwkv4_channel(const Rwkv& s, Parts* parts) {
  add_norm("ffn_norm", "ln2", s.dim, parts);
  for (const char* use : {"k", "r"})
    parts->vector(text("ffn_mix_", use), text("ffn.time_mix_", use), s.dim, 0.5f, 0.2f, Change::complement);
  parts->matrix("ffn_r", "ffn.receptance.weight", s.dim, s.dim);
  parts->matrix("ffn_k", "ffn.key.weight", s.ffn_dim, s.dim);
  parts->matrix("ffn_v", "ffn.value.weight", s.dim, s.ffn_dim);
}

ModelTable rwkv_family(const Rwkv& s) {
  ModelTable table;
  table.name = s.version == 7 ? RWKV7 : RWKV4;
  table.vocab = s.vocab;
  table.word("arch", s.version == 7 ? "rwkv7" : "rwkv4");
  table.size("layers", s.layers);
  table.size("dim", s.dim);
  table.size("ffn_dim", s.ffn_dim);
  table.size("vocab", s.vocab);
  table.size("context", s.context);
  table.real("norm_eps", s.norm_eps);
  if (s.version == 7) {
    table.size("head_dim", s.head_dim);
    table.real("head_norm_eps", s.head_norm_eps);
  } else {
    table.size("att_dim", s.att_dim);
  }
  Parts parts(&table.parts);
  parts.add("embed", "emb.weight", Role::embedding, s.vocab, s.dim);
  add_norm("embed_norm", "blocks.0.ln0", s.dim, &parts);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(layer_name(layer), text("blocks.", layer, "."));
    if (s.version == 7) {
      add_rwkv7_time(s, layer, &parts);
      add_rwkv7_channel(s, &parts);
    } else {
      add_rwkv4_time(s, &parts);
      add_rwkv4_channel(s, &parts);
    }
  }
  parts.prefix("", "");
  add_norm("norm", "ln_out", s.dim, &parts);
  if (!s.tied) {
    Part& head = parts.add("head", "head.weight", Role::head, s.vocab, s.dim);
    head.deviation = 3 / std::sqrt(static_cast<f32>(s.dim));
  }
  return table;
}

std::vector<std::string> rwkv_families() {
  return {RWKV4, RWKV7};
}

bool is_rwkv(const Source& source) {
  auto is_author = [](const StoredTensors& stored) { return stored.contains("blocks.0.ln0.weight"); };
  if (source.config) return source.model_type() == "rwkv";
  if (source.file) return (source.path.ends_with(SAFETENSORS) || is_zip(source.head())) && is_author(read_file(source.path));
  const std::string weights = source.path + "/model.safetensors";
  return source.folder && file_exists(weights) && is_author(read_safetensors(weights));
}

Model open_rwkv(const Source& source) {
  StoredTensors stored;
  for (auto& [name, tensor] : source.folder ? read_weights(source.path) : read_file(source.path))
    stored.emplace(original_name(name), std::move(tensor));
  Rwkv shape = measure(stored, source.path);
  std::vector<std::string> notes;
  if (source.config) read_config(source, &stored, &shape, &notes);
  const Taking from{Naming::published, source.path, {"blocks.0.att.v0", "blocks.0.att.v1", "blocks.0.att.v2"}};
  Model model = take_floats(rwkv_family(shape), std::move(stored), from);
  model.notes = std::move(notes);
  model.byte_tokenizer = shape.vocab == 256;
  if (!model.byte_tokenizer) model.tokenizer = find_tokenizer(source.folder ? source.path : folder_of(source.path));
  return model;
}

}  // namespace edgellm::convert
