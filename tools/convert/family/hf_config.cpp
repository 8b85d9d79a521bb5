#include "convert/family/hf_config.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "convert/base/fields.h"
#include "convert/family/hf_fields.h"
#include "convert/family/open.h"
#include "convert/tokenizer/folder.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

// What transformers' class of a model has beside the layers that they all have.
struct Architecture {
  enum class Windows { none, all, some };          // layers that may have one
  enum class Biases { none, qkv, asked, always };  // of the matrices of attention; asked: `attention_bias`
  const char* name;
  const char* config;  // class of its configuration
  Windows windows = Windows::none;
  Biases biases = Biases::none;
  bool head_norms = false;
  bool bitnet = false;          // norms before `o` and `down`
  Norm norm = Norm::rms;        // layer: the feed-forward and the head have biases too
  bool parallel = false;        // the feed-forward is beside attention
  bool gated = true;            // the feed-forward; else gelu
  bool partly_rotated = false;  // heads may be
};
using Windows = Architecture::Windows;
using Biases = Architecture::Biases;

constexpr Architecture ARCHITECTURES[] = {
    {.name = "LlamaForCausalLM", .config = "LlamaConfig", .biases = Biases::asked},
    {.name = "MistralForCausalLM", .config = "MistralConfig", .windows = Windows::all},
    {.name = "Qwen2ForCausalLM", .config = "Qwen2Config", .windows = Windows::some, .biases = Biases::qkv},
    {.name = "Qwen3ForCausalLM",
     .config = "Qwen3Config",
     .windows = Windows::some,
     .biases = Biases::asked,
     .head_norms = true},
    {.name = "PhiForCausalLM",
     .config = "PhiConfig",
     .biases = Biases::always,
     .norm = Norm::layer,
     .parallel = true,
     .gated = false,
     .partly_rotated = true},
    {.name = "BitNetForCausalLM", .config = "BitNetConfig", .biases = Biases::asked, .bitnet = true},
    {.name = "BitnetForCausalLM", .config = "BitnetConfig", .biases = Biases::asked, .bitnet = true},
};

const Architecture& architecture(const Fields& config) {
  const Json* list = config.find("architectures");
  std::string name = list && list->array() && !list->array()->empty() && list->array()->front().string()
                         ? *list->array()->front().string()
                         : std::string();
  for (const Architecture& one : ARCHITECTURES) {
    if (name == one.name) return one;
  }
  const std::string known = list_text(hf_families());
  if (name.empty()) unusable(config.where(), ": \"architectures\" is missing or empty, expected a list with one of ", known);
  unusable(config.where(), ": architecture \"", name, "\" is not supported (", known, ")");
}

f64 required_number(const Fields& fields, const char* key) {
  std::optional<f64> value = fields.number(key);
  if (!value) unusable(fields.where(), ": \"", key, "\" is missing");
  return *value;
}

bool flag(const Fields& fields, const char* key) {
  return fields.flag(key).value_or(false);
}

// What the class has with this configuration, and makes up where the weights lack it.
void read_optional(const Fields& config, const Architecture& arch, Transformer* t) {
  auto presence = [](bool has) { return has ? Presence::needed : Presence::absent; };
  const bool asked = arch.biases == Biases::always || (arch.biases == Biases::asked && flag(config, "attention_bias"));
  const bool layer_norms = arch.norm == Norm::layer;
  t->has.qkv_biases = presence(asked || arch.biases == Biases::qkv);
  t->has.o_bias = presence(asked);
  t->has.ffn_biases = presence(layer_norms || flag(config, "mlp_bias"));
  t->has.norm_biases = t->has.head_bias = presence(layer_norms);
  t->has.head_norms = presence(arch.head_norms);
  t->has.sub_norms = presence(arch.bitnet && t->norm != Norm::unit);
}

// Rotary embedding without the ways to stretch it: all classes but Phi's rotate whole heads, and fail when a scaling counts on
// less.
void read_rotated(const Fields& config, const Architecture& arch, f64 part, bool scaled, HfConfig* out) {
  Transformer& t = out->shape;
  if (!(part > 0 && part <= 1)) unusable(config.where(), ": \"partial_rotary_factor\" is ", part, ", expected 0 to 1");
  const i64 dims = static_cast<i64>(static_cast<f64>(t.head_dim) * part);
  t.rope.dims = arch.partly_rotated ? dims : t.head_dim;
  if (dims == t.rope.dims) return;
  if (scaled) {
    unusable(config.where(), ": \"partial_rotary_factor\" is ", part, ", which ", arch.name,
             " does not have together with a rotary scaling");
  }
  out->notes.push_back(text("partial_rotary_factor ", part, " is without effect: ", arch.name, " rotates whole heads"));
}

// YaRN's factor of cosine and sine, 0 where the usual one serves.
f64 attention_factor(const Fields& scaling, f64 factor) {
  if (std::optional<f64> own = scaling.number("attention_factor")) {
    if (!(*own > 0)) unusable(scaling.where(), ": \"attention_factor\" is ", *own, ", expected more than 0");
    return *own;
  }
  for (const char* key : {"mscale", "mscale_all_dim"}) {
    const f64 value = scaling.number(key).value_or(0);
    if (!(value >= 0 && std::isfinite(value)))
      unusable(scaling.where(), ": \"", key, "\" is ", value, ", expected 0 or more");
  }
  const f64 mscale = scaling.number("mscale").value_or(0), all = scaling.number("mscale_all_dim").value_or(0);
  if (!(mscale > 0 && all > 0 && factor > 1)) return 0;
  return (0.1 * mscale * std::log(factor) + 1) / (0.1 * all * std::log(factor) + 1);
}

void read_scaling(const Fields& config, const Fields& scaling, const std::string& type, HfConfig* out) {
  Transformer& t = out->shape;
  Rope& rope = t.rope;
  rope.original_context =
      config.number("original_max_position_embeddings")
          .value_or(scaling.number("original_max_position_embeddings").value_or(static_cast<f64>(t.context)));
  auto or_default = [&](const char* key, f64 otherwise) {  // 0 stands for the default
    const f64 value = scaling.number(key).value_or(0);
    if (!(value >= 0 && std::isfinite(value)))
      unusable(scaling.where(), ": \"", key, "\" is ", value, ", expected 0 or more");
    return value > 0 ? value : otherwise;
  };
  if (type != "linear" && type != "llama3" && type != "yarn" && type != "dynamic") {
    unusable(scaling.where(), ": rotary scaling \"", type, "\" is not supported (linear, llama3, yarn, dynamic)");
  }
  rope.factor = required_number(scaling, "factor");
  if (type == "linear") {
    rope.scaling = Rope::Scaling::linear;
  } else if (type == "llama3") {
    rope.scaling = Rope::Scaling::llama3;
    rope.low_freq_factor = required_number(scaling, "low_freq_factor");
    rope.high_freq_factor = required_number(scaling, "high_freq_factor");
  } else if (type == "yarn") {
    rope.scaling = Rope::Scaling::yarn;
    rope.beta_fast = or_default("beta_fast", 32);
    rope.beta_slow = or_default("beta_slow", 1);
    rope.truncate = flag(scaling, "truncate");
    rope.attention_factor = attention_factor(scaling, rope.factor);
  } else {
    if (t.context < MIN_CONTEXT_LIMIT) {
      unusable(scaling.where(), ": rotary scaling \"dynamic\" beyond ", t.context, " positions, expected at least ",
               MIN_CONTEXT_LIMIT);
    }
    t.context_limit = t.context;
    out->notes.push_back(text("rotary scaling \"dynamic\" changes the frequencies beyond ", t.context,
                              " positions: the file serves up to there"));
  }
}

// Of "rope_scaling", which older versions have, and "rope_parameters", which may hold theta too, transformers 5 takes the first
// that is not empty (modeling_rope_utils.py, convert_rope_params_to_dict).
void read_rope(const Fields& config, const Architecture& arch, HfConfig* out) {
  Transformer& t = out->shape;
  t.rope.interleaved = flag(config, "rope_interleaved");
  Json given{Json::Object{}};
  std::string where = config.where();
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const Json* value = config.find(key);
    if (!value) continue;
    if (!value->object()) unusable(where, ": \"", key, "\" is not an object");
    if (value->object()->empty()) continue;
    where += text(": ", key);
    given = *value;
    break;
  }
  for (const auto& [name, value] : *given.object()) {
    if (value.object()) unusable(where, ": \"", name, "\": a rotary embedding for each kind of layer is not supported");
  }
  const Json complete = complete_config(given, where, config_class("RopeParameters"), &out->notes);
  const Fields scaling(complete, where);
  auto either = [&](const char* key) {
    std::optional<f64> value = scaling.number(key);
    return value ? value : config.number(key);
  };
  t.rope.theta = either("rope_theta").value_or(0);
  std::string type = scaling.string("rope_type");
  if (type.empty()) type = scaling.string("type");
  const bool scaled = !type.empty() && type != "default";
  read_rotated(config, arch, either("partial_rotary_factor").value_or(1), scaled, out);
  if (scaled) read_scaling(config, scaling, type, out);
}

void read_gate(const Fields& config, const Architecture& arch, Transformer* t) {
  const std::string act = config.string("hidden_act");
  t->gate = !arch.gated ? Gate::gelu : act == "relu2" ? Gate::relu2 : Gate::silu;
  const bool known = arch.gated ? act == "silu" || act == "swish" || act == "relu2"
                                : act == "gelu_new" || act == "gelu_pytorch_tanh" || act == "gelu_fast";
  if (!known) {
    unusable(config.where(), ": hidden_act \"", act, "\" is not supported (", arch.gated ? "silu, relu2" : "gelu_new", ")");
  }
}

void read_norms(const Fields& config, const Architecture& arch, Transformer* t) {
  t->norm = arch.norm;
  t->norm_eps = required_number(config, arch.norm == Norm::layer ? "layer_norm_eps" : "rms_norm_eps");
  t->final_norm_eps = config.number("final_norm_eps");
  const std::string norms = config.string("norms");
  if (norms.starts_with("unit")) {
    t->norm = Norm::unit;
  } else if (!norms.empty() && norms != "rms") {
    unusable(config.where(), ": \"norms\" is \"", norms, "\", expected \"rms\" or one that starts with \"unit\"");
  }
}

// Whether attention of each layer is limited to a window of `window` positions; 0: there is none.
std::vector<bool> sliding_layers(const Fields& config, const Architecture& arch, i64 layers, i64 window) {
  std::vector<bool> sliding(static_cast<size_t>(layers), window > 0 && arch.windows == Windows::all);
  const Json* types = config.find("layer_types");
  if (!types) {
    if (window == 0 || arch.windows != Windows::some) return sliding;
    const i64 first = std::clamp<i64>(config.required("max_window_layers"), 0, layers);
    std::fill(sliding.begin() + static_cast<std::ptrdiff_t>(first), sliding.end(), true);
    return sliding;
  }
  if (!types->array() || types->array()->size() != sliding.size()) {
    unusable(config.where(), ": \"layer_types\" is no list of ", layers, " texts, one for each layer");
  }
  for (size_t i = 0; i < sliding.size(); i++) {
    const Json& type = (*types->array())[i];
    const bool slides = type.string() && *type.string() == "sliding_attention";
    const bool may = arch.windows == Windows::some ? window > 0 || !slides : slides == sliding[i];
    if (!may || !(slides || (type.string() && *type.string() == "full_attention"))) {
      unusable(config.where(), ": \"layer_types\": layer ", i, " is ", type.string() ? *type.string() : "no text",
               ", which ", arch.name, " does not have with these windows");
    }
    sliding[i] = slides;
  }
  return sliding;
}

void read_window(const Fields& config, const Architecture& arch, Transformer* t) {
  const bool used = arch.windows == Windows::all || (arch.windows == Windows::some && flag(config, "use_sliding_window"));
  std::optional<i64> window = used ? config.integer("sliding_window") : std::nullopt;
  if (window && *window < 1) unusable(config.where(), ": \"sliding_window\" is ", *window, ", expected at least 1, or null");
  const std::vector<bool> sliding = sliding_layers(config, arch, t->layers, window.value_or(0));
  if (!window || *window > MAX_CONTEXT) return;  // no text is longer
  for (bool slides : sliding)
    t->windows.push_back(slides ? static_cast<u32>(*window) : 0);
}

void read_token_ids(const Source& source, Transformer* t) {
  const GenerationIds ids = read_generation_ids(source.path, source.config.get(), t->vocab);
  t->bos = ids.bos;
  t->stop = ids.eos;
}

void read_quantization(const Fields& config, const Architecture& arch, HfConfig* out) {
  out->bitnet = arch.bitnet;
  if (!config.object("quantization_config")) return;
  const std::string where = config.where() + ": quantization_config";
  const Json complete =
      complete_config(*config.find("quantization_config"), where, config_class("BitNetQuantConfig"), &out->notes);
  const Fields quantization(complete, where);
  if (quantization.string("quant_method").empty()) unusable(where, ": \"quant_method\" is missing");
  out->bitnet = out->quantized = true;
  out->scale_divides = quantization.string("linear_class") == "bitlinear";
  out->online = !out->scale_divides && quantization.string("quantization_mode") == "online";
  const Json* floats = quantization.find("modules_to_not_convert");
  if (!floats) return;
  if (!floats->array()) unusable(where, ": \"modules_to_not_convert\" is not a list");
  for (const Json& module : *floats->array()) {
    const std::string name = module.string() ? *module.string() : "";
    if (name.empty() || name.find_first_of("^$*+?()[]{}|\\") != std::string::npos) {
      unusable(where, ": modules_to_not_convert: \"", name, "\", expected the start or end of a module's name");
    }
    out->float_modules.push_back(name);
  }
  if (out->online && !out->is_float("lm_head.weight")) {
    unusable(where, ": modules_to_not_convert does not name lm_head, and a ternary head of master weights is not supported");
  }
}

}  // namespace

// transformers, quantizers/quantizers_utils.py (should_convert_module), but for regular expressions.
bool HfConfig::is_float(const std::string& weight) const {
  const std::string module = weight.substr(0, weight.rfind('.'));
  return std::any_of(float_modules.begin(), float_modules.end(), [&](const std::string& name) {
    return module.ends_with(name) || (module + ".").starts_with(name.ends_with('.') ? name : name + ".");
  });
}

std::vector<std::string> hf_families() {
  std::vector<std::string> names;
  for (const Architecture& one : ARCHITECTURES)
    names.push_back(one.name);
  return names;
}

HfConfig read_hf_config(const Source& source) {
  const std::string& path = source.config_path;
  const Json& json = *source.config;
  const Fields given(json, path);
  const Architecture& arch = architecture(given);
  HfConfig out;
  const Json complete = complete_config(json, path, config_class(arch.config), &out.notes);
  const Fields config(complete, path);

  Transformer& t = out.shape;
  t.layers = config.required("num_hidden_layers");
  t.dim = config.required("hidden_size");
  t.ffn_dim = config.required("intermediate_size");
  t.heads = config.required("num_attention_heads");
  t.kv_heads = config.integer("num_key_value_heads").value_or(t.heads);
  t.vocab = config.required("vocab_size");
  t.context = config.required("max_position_embeddings");
  t.head_dim = config.integer("head_dim").value_or(t.heads > 0 ? t.dim / t.heads : 0);
  t.parallel = arch.parallel;
  read_norms(config, arch, &t);
  read_quantization(config, arch, &out);
  read_gate(config, arch, &t);
  read_rope(config, arch, &out);
  check_sizes(t, path);
  read_window(config, arch, &t);
  read_token_ids(source, &t);
  out.architecture = arch.name;
  read_optional(config, arch, &t);
  out.tied = flag(config, "tie_word_embeddings");
  return out;
}

}  // namespace edgellm::convert
