// Mamba and Mamba-2: folders with config.json, of transformers (model types `mamba` and `mamba2`) or of the authors'
// (state-spaces/mamba: `d_model`, `n_layer`, `ssm_cfg`; its tensors differ in the name of the embedding).
#include "convert/family/mamba.h"

#include <cmath>

#include "convert/base/fields.h"
#include "convert/family/hf_fields.h"
#include "convert/family/open.h"
#include "convert/tokenizer/folder.h"
#include "file/limits.h"

namespace edgellm::convert {

namespace {

// The model type; the authors' configurations have none.
std::string model_type(const Source& source) {
  if (std::string type = source.model_type(); !type.empty() || !source.config) return type;
  const Json& config = *source.config;
  const Json *ssm = config.find("ssm_cfg"), *layer = ssm ? ssm->find("layer") : nullptr;
  if (!config.find("d_model") || !config.find("n_layer") || !ssm) return "";
  return layer && layer->string() && *layer->string() == "Mamba2" ? "mamba2" : "mamba";
}

// What either kind of configuration says.
struct Config {
  i64 version = 1;
  bool authors = false;
  Json outer, inner;  // all fields; of the authors' those of `ssm_cfg`
  std::string where;

  const char* class_name() const {
    return authors ? "mamba_ssm's MambaConfig" : version == 2 ? "Mamba2Config" : "MambaConfig";
  }
  Fields model() const { return {outer, where}; }
  Fields layers() const { return authors ? Fields(inner, where + ": ssm_cfg") : model(); }
  const char* name(const char* of_transformers, const char* of_authors) const {
    return authors ? of_authors : of_transformers;
  }
};

Config read_config(const Source& source, std::vector<std::string>* notes) {
  Config c;
  const std::string& path = c.where = source.config_path;
  const Json& json = *source.config;
  c.version = model_type(source) == "mamba2" ? 2 : 1;
  c.authors = !json.find("model_type");
  c.outer = complete_config(json, path, config_class(c.class_name()), notes);
  if (!c.authors) return c;
  const char* layers = c.version == 2 ? "mamba_ssm's Mamba2" : "mamba_ssm's Mamba";
  c.inner = complete_config(*json.find("ssm_cfg"), path + ": ssm_cfg", config_class(layers), notes);
  return c;
}

// transformers writes an infinity as {"__float__": "Infinity"}.
f64 bound(const Json& value, const std::string& where) {
  const Json* tagged = value.find("__float__");
  if (tagged && tagged->string() && *tagged->string() == "Infinity") return INFINITY;
  if (!value.number()) unusable(where, " is not two numbers");
  return *value.number();
}

// Of the step size after softplus.
void read_limits(const Config& config, Mamba* s) {
  const char* key = config.name("time_step_limit", "dt_limit");
  const Fields fields = config.layers();
  const std::string where = text(fields.where(), ": \"", key, "\"");
  const Json* limits = fields.find(key);
  if (!limits || !limits->array() || limits->array()->size() != 2) unusable(where, " is not two numbers");
  s->dt_min = bound(limits->array()->front(), where), s->dt_max = bound(limits->array()->back(), where);
  if (!(s->dt_min >= 0 && s->dt_min <= s->dt_max)) {
    unusable(where, " is ", s->dt_min, " to ", s->dt_max, ", expected 0 or more, and no less");
  }
}

// The bias of the convolutions is there, or not, as the configuration says; one more than it says is left out.
void check_conv_bias(const Config& config, Mamba* s, StoredTensors* stored, std::vector<std::string>* notes) {
  const char* key = config.name("use_conv_bias", "conv_bias");
  const bool wanted = config.layers().flag(key).value_or(true);
  if (wanted == s->conv_bias) return;
  if (wanted) unusable(config.where, ": there is no tensor layers.0.mixer.conv1d.bias, and \"", key, "\" is true");
  notes->push_back(text("the biases of the convolutions are left out: \"", key, "\" is false"));
  for (i64 layer = 0; layer < s->layers; layer++)
    stored->erase(text("layers.", layer, ".mixer.conv1d.bias"));
  s->conv_bias = false;
}

void check_sizes(const Config& config, const Mamba& s) {
  const Fields model = config.model(), layers = config.layers();
  i64 vocab = config.outer.find("vocab_size") ? model.required("vocab_size") : s.vocab;
  if (config.authors) {  // the authors round it up
    const i64 multiple = model.required("pad_vocab_size_multiple");
    check_size("pad_vocab_size_multiple", multiple, MAX_VOCAB, config.where);
    vocab = div_up(vocab, multiple) * multiple;
  }
  if (vocab != s.vocab) unusable(config.where, ": the vocabulary is ", vocab, ", the tensors have ", s.vocab);
  check_agrees(model, config.name("num_hidden_layers", "n_layer"), s.layers);
  check_agrees(model, config.name("hidden_size", "d_model"), s.dim);
  check_agrees(layers, config.name("state_size", "d_state"), s.states);
  check_agrees(layers, config.name("conv_kernel", "d_conv"), s.taps);
  if (s.version == 2) {
    check_agrees(layers, config.name("head_dim", "headdim"), s.head_dim);
    if (!config.authors) check_agrees(layers, "num_heads", s.heads);
    return;
  }
  if (!config.authors) check_agrees(layers, "intermediate_size", s.inner);
  const char* rank = config.name("time_step_rank", "dt_rank");
  const Json* value = layers.find(rank);
  if (value && !value->string()) check_agrees(layers, rank, s.rank);  // "auto" is a sixteenth of the model's size
}

// Most sizes are those of the tensors.
Mamba measure(const StoredTensors& stored, const Config& config, const std::string& source) {
  Mamba s;
  auto size = [&](const char* name, size_t index) { return size_of(stored, name, index, source); };
  const std::string mixer = "layers.0.mixer.";
  s.version = config.version;
  while (stored.contains(text("layers.", s.layers, ".norm.weight")))
    s.layers++;
  s.vocab = size("embeddings.weight", 0);
  s.dim = size("embeddings.weight", 1);
  s.taps = size("layers.0.mixer.conv1d.weight", 2);
  s.conv_bias = stored.contains(mixer + "conv1d.bias");
  s.norm_eps = config.model().number("layer_norm_epsilon").value_or(s.norm_eps);
  check_epsilon("layer_norm_epsilon", s.norm_eps, source);
  if (s.version == 1) {
    s.inner = size("layers.0.mixer.A_log", 0);
    s.states = size("layers.0.mixer.A_log", 1);
    s.rank = size("layers.0.mixer.dt_proj.weight", 1);
    return s;
  }
  s.heads = size("layers.0.mixer.A_log", 0);
  i64 inner = size("layers.0.mixer.norm.weight", 0), convolved = size("layers.0.mixer.conv1d.weight", 0);
  s.head_dim = inner / s.heads;
  const char* groups = config.name("n_groups", "ngroups");
  s.groups = config.layers().required(groups);
  check_size(groups, s.groups, MAX_HEADS, source);
  s.states = (convolved - inner) / 2 / s.groups;
  if (s.head_dim * s.heads != inner || inner + 2 * s.groups * s.states != convolved || s.heads % s.groups != 0) {
    unusable(source, ": ", s.heads, " heads, ", s.groups, " groups, ", inner, " inner and ", convolved,
             " convolved channels do not fit each other");
  }
  read_limits(config, &s);
  return s;
}

// Both spellings, without "backbone.".
StoredTensors read_tensors(const std::string& path) {
  StoredTensors stored;
  for (auto& [theirs, tensor] : read_weights(path)) {
    std::string name = theirs;
    if (name.starts_with("backbone.")) name = name.substr(9);
    if (name == "embedding.weight") name = "embeddings.weight";
    stored.emplace(name, std::move(tensor));
  }
  return stored;
}

void add_convolution(const Mamba& s, i64 channels, Parts* parts) {
  parts->vector("conv", "mixer.conv1d.weight", channels, 0, 0.4f, Change::transposed).rows = s.taps;
  if (s.conv_bias) parts->vector("conv_bias", "mixer.conv1d.bias", channels, 0);
}

constexpr const char *MAMBA = "Mamba", *MAMBA2 = "Mamba-2";

}  // namespace

void add_mamba(const Mamba& s, Parts* parts) {
  parts->vector("norm", "norm.weight", s.dim);
  parts->matrix("in", "mixer.in_proj.weight", 2 * s.inner, s.dim);
  add_convolution(s, s.inner, parts);
  parts->add("select", "mixer.x_proj.weight", Role::narrow, s.rank + 2 * s.states, s.inner);
  parts->add("dt", "mixer.dt_proj.weight", Role::narrow, s.inner, s.rank);
  parts->vector("dt_bias", "mixer.dt_proj.bias", s.inner, -3, 1);
  parts->vector("rate", "mixer.A_log", s.inner, -4, 1, Change::transposed_rate).rows = s.states;
  parts->vector("skip", "mixer.D", s.inner);
  parts->matrix("out", "mixer.out_proj.weight", s.dim, s.inner);
}

void add_mamba2(const Mamba& s, Parts* parts) {
  const i64 inner = s.heads * s.head_dim, convolved = inner + 2 * s.groups * s.states;
  parts->vector("norm", "norm.weight", s.dim);
  parts->matrix("in", "mixer.in_proj.weight", inner + convolved + s.heads, s.dim);
  add_convolution(s, convolved, parts);
  parts->vector("dt_bias", "mixer.dt_bias", s.heads, -3, 1);
  parts->vector("rate", "mixer.A_log", s.heads, -4, 1, Change::rate);
  parts->vector("skip", "mixer.D", s.heads);
  parts->vector("gate_norm", "mixer.norm.weight", inner);
  parts->matrix("out", "mixer.out_proj.weight", s.dim, inner);
}

ModelTable mamba_family(const Mamba& s) {
  ModelTable table;
  table.name = s.version == 2 ? MAMBA2 : MAMBA;
  table.vocab = s.vocab;
  table.word("arch", s.version == 2 ? "mamba2" : "mamba");
  table.size("layers", s.layers);
  table.size("dim", s.dim);
  if (s.version == 2) {
    table.size("heads", s.heads);
    table.size("head_dim", s.head_dim);
    table.size("groups", s.groups);
  } else {
    table.size("inner", s.inner);
    table.size("rank", s.rank);
  }
  table.size("states", s.states);
  table.size("taps", s.taps);
  table.size("vocab", s.vocab);
  table.size("context", s.context);
  table.real("norm_eps", s.norm_eps);
  if (static_cast<f32>(s.dt_min) > 0) table.real("dt_min", s.dt_min);
  if (std::isfinite(static_cast<f32>(s.dt_max))) table.real("dt_max", s.dt_max);
  Parts parts(&table.parts);
  parts.add("embed", "embeddings.weight", Role::embedding, s.vocab, s.dim);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(layer_name(layer), text("layers.", layer, "."));
    (s.version == 2 ? add_mamba2 : add_mamba)(s, &parts);
  }
  parts.prefix("", "");
  parts.vector("norm", "norm_f.weight", s.dim);
  if (!s.tied) parts.add("head", "lm_head.weight", Role::head, s.vocab, s.dim);
  return table;
}

std::vector<std::string> mamba_families() {
  return {MAMBA, MAMBA2};
}

bool is_mamba(const Source& source) {
  const std::string type = model_type(source);
  return type == "mamba" || type == "mamba2";
}

Model open_mamba(const Source& source) {
  const std::string& path = source.path;
  std::vector<std::string> notes;
  const Config config = read_config(source, &notes);
  StoredTensors stored = read_tensors(path);
  const bool tied = config.model().flag(config.name("tie_word_embeddings", "tie_embeddings")).value_or(false);
  const bool shared = tie_head(&stored, "embeddings.weight", "lm_head.weight", tied, path, &notes);
  if (config.authors && tied && !shared) {
    unusable(config.where, ": \"tie_embeddings\" is true, but lm_head.weight differs from the embedding");
  }
  Mamba shape = measure(stored, config, path);
  shape.tied = shared;
  check_sizes(config, shape);
  check_conv_bias(config, &shape, &stored, &notes);
  Model model = take_floats(mamba_family(shape), std::move(stored), {Naming::published, path});
  model.notes = std::move(notes);
  model.tokenizer = find_tokenizer(path);
  model.stop = read_generation_ids(path, source.config.get(), model.vocab).eos;
  return model;
}

}  // namespace edgellm::convert
