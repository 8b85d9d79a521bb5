// Mamba and Mamba-2: folders with config.json, of transformers (model types `mamba` and `mamba2`) or of the authors'
// (state-spaces/mamba: `d_model`, `n_layer`, `ssm_cfg`; its tensors differ in the name of the embedding).
#include "mamba.h"

#include "fields.h"
#include "file/limits.h"
#include "source.h"
#include "tokenizer.h"
#include "tokenizer_folder.h"

namespace edgellm::convert {

const std::vector<NamedMamba> SYNTHETIC_MAMBA = {
    {"mamba-tiny", {.layers = 2, .dim = 64, .vocab = 256, .inner = 128, .rank = 4}},
    {"mamba-130m", {.layers = 24, .dim = 768, .vocab = 50280, .inner = 1536, .rank = 48}},
    {"mamba2-tiny", {.version = 2, .layers = 2, .dim = 64, .states = 32, .vocab = 256, .heads = 8, .head_dim = 16}},
};

namespace {

void add_layer(const Mamba& s, Parts& parts) {
  const bool two = s.version == 2;
  const i64 inner = two ? s.heads * s.head_dim : s.inner;
  const i64 convolved = two ? inner + 2 * s.groups * s.states : inner;
  parts.vector("norm", "norm.weight", s.dim, 1, 0.1f);
  parts.matrix("in", "mixer.in_proj.weight", two ? inner + convolved + s.heads : 2 * inner, s.dim);
  Part& conv = parts.vector("conv", "mixer.conv1d.weight", convolved, 0, 0.4f, Change::transposed);
  conv.rows = s.taps;
  if (s.conv_bias) parts.vector("conv_bias", "mixer.conv1d.bias", convolved, 0, 0.1f);
  if (two) {
    parts.vector("dt_bias", "mixer.dt_bias", s.heads, -3, 1);
    parts.vector("rate", "mixer.A_log", s.heads, -4, 1, Change::rate);
    parts.vector("skip", "mixer.D", s.heads, 1, 0.1f);
    parts.vector("gate_norm", "mixer.norm.weight", inner, 1, 0.1f);
  } else {
    parts.add("select", "mixer.x_proj.weight", Role::narrow, s.rank + 2 * s.states, inner);
    parts.add("dt", "mixer.dt_proj.weight", Role::narrow, inner, s.rank);
    parts.vector("dt_bias", "mixer.dt_proj.bias", inner, -3, 1);
    parts.vector("rate", "mixer.A_log", inner, -4, 1, Change::transposed_rate).rows = s.states;
    parts.vector("skip", "mixer.D", inner, 1, 0.1f);
  }
  parts.matrix("out", "mixer.out_proj.weight", s.dim, inner);
}

// The model type; the authors' configurations have none.
std::string model_type(const Json& config) {
  const Json* type = config.find("model_type");
  if (type && type->string()) return *type->string();
  const Json *ssm = config.find("ssm_cfg"), *layer = ssm ? ssm->find("layer") : nullptr;
  if (!config.find("d_model") || !config.find("n_layer") || !ssm) return "";
  return layer && layer->string() && *layer->string() == "Mamba2" ? "mamba2" : "mamba";
}

i64 whole_or(const Json& config, const char* key, i64 fallback, const std::string& source) {
  const i64 value = Fields(config, source).integer(key).value_or(fallback);
  check_size(key, value, MAX_HEADS, source);
  return value;
}

// Most sizes are those of the tensors.
Mamba measure(const StoredTensors& stored, const Json& config, const std::string& source) {
  Mamba s;
  auto size = [&](const char* name, size_t index) { return size_of(stored, name, index, source); };
  const std::string mixer = "layers.0.mixer.";
  s.version = model_type(config) == "mamba2" ? 2 : 1;
  while (stored.contains(text("layers.", s.layers, ".norm.weight")))
    s.layers++;
  s.vocab = size("embeddings.weight", 0);
  s.dim = size("embeddings.weight", 1);
  s.taps = size("layers.0.mixer.conv1d.weight", 2);
  s.conv_bias = stored.contains(mixer + "conv1d.bias");
  s.tied = !stored.contains("lm_head.weight");
  s.norm_eps = Fields(config, source).number("layer_norm_epsilon").value_or(s.norm_eps);
  check_epsilon("layer_norm_epsilon", s.norm_eps, source);
  if (s.version == 1) {
    s.inner = size("layers.0.mixer.A_log", 0);
    s.states = size("layers.0.mixer.A_log", 1);
    s.rank = size("layers.0.mixer.dt_proj.weight", 1);
    return s;
  }
  const Json* ssm = config.find("ssm_cfg");
  s.heads = size("layers.0.mixer.A_log", 0);
  i64 inner = size("layers.0.mixer.norm.weight", 0), convolved = size("layers.0.mixer.conv1d.weight", 0);
  s.head_dim = inner / s.heads;
  s.groups = ssm ? whole_or(*ssm, "ngroups", 1, source) : whole_or(config, "n_groups", 8, source);
  s.states = (convolved - inner) / 2 / s.groups;
  if (s.head_dim * s.heads != inner || inner + 2 * s.groups * s.states != convolved || s.heads % s.groups != 0) {
    unusable(source, ": ", s.heads, " heads, ", s.groups, " groups, ", inner, " inner and ", convolved,
             " convolved channels do not fit each other");
  }
  return s;
}

void refuse_what_differs(const Json& config, const std::string& source) {
  const Fields fields(config, source);
  for (const char* key : {"use_bias", "mamba_use_bias"}) {
    if (fields.flag(key).value_or(false)) unusable(source, ": projections with biases are not supported");
  }
  const std::string activation = fields.string("hidden_act");
  if (!activation.empty() && activation != "silu" && activation != "swish") {
    unusable(source, ": \"hidden_act\" is \"", activation, "\", expected \"silu\"");
  }
  const Json* limit = config.find("time_step_limit");
  bool limited = limit && limit->array() && !limit->array()->empty() && limit->array()->front().number() &&
                 *limit->array()->front().number() > 0;
  if (limited) unusable(source, ": \"time_step_limit\" is not supported");
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

}  // namespace

Family mamba_family(const Mamba& s) {
  Family family{{}, s.vocab, {}};
  auto size = [&](const char* key, i64 value) { family.metadata.emplace_back(key, static_cast<u32>(value)); };
  family.metadata.emplace_back("arch", s.version == 2 ? "mamba2" : "mamba");
  size("layers", s.layers);
  size("dim", s.dim);
  if (s.version == 2) {
    size("heads", s.heads);
    size("head_dim", s.head_dim);
    size("groups", s.groups);
  } else {
    size("inner", s.inner);
    size("rank", s.rank);
  }
  size("states", s.states);
  size("taps", s.taps);
  size("vocab", s.vocab);
  size("context", s.context);
  family.metadata.emplace_back("norm_eps", static_cast<f32>(s.norm_eps));
  Parts parts(&family.parts);
  parts.add("embed", "embeddings.weight", Role::embedding, s.vocab, s.dim);
  for (i64 layer = 0; layer < s.layers; layer++) {
    parts.prefix(text("layers.", layer, "."), text("layers.", layer, "."));
    add_layer(s, parts);
  }
  parts.prefix("", "");
  parts.vector("norm", "norm_f.weight", s.dim, 1, 0.1f);
  if (!s.tied) parts.add("head", "lm_head.weight", Role::head, s.vocab, s.dim);
  return family;
}

bool is_mamba(const std::string& path, Bytes) {
  if (!is_folder(path) || !file_exists(path + "/config.json")) return false;
  std::string type = model_type(read_json(path + "/config.json"));
  return type == "mamba" || type == "mamba2";
}

Model open_mamba(const std::string& path) {
  const std::string config_path = path + "/config.json";
  Json config = read_json(config_path);
  refuse_what_differs(config, config_path);
  StoredTensors stored = read_tensors(path);
  if (Fields(config, config_path).flag("tie_word_embeddings").value_or(false)) stored.erase("lm_head.weight");
  const Mamba shape = measure(stored, config, path);
  Model model = take_parts(mamba_family(shape), std::move(stored), path);
  if (has_tokenizer(path)) model.tokenizer = path;
  model.stop = read_generation_ids(path, model.vocab).eos;
  return model;
}

}  // namespace edgellm::convert
