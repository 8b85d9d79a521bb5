#include "hf_config.h"

#include <algorithm>
#include <cmath>

#include "fields.h"
#include "tokenizer_folder.h"

namespace edgellm::convert {
namespace {

// What `transformers` takes for keys that are not there.
struct Architecture {
  const char* name;
  f64 theta = 10000;
  f64 rotated = 1;  // part of a head
  const char* eps_key = "rms_norm_eps";
  f64 eps = 1e-6;
  const char* act = "silu";
  bool sliding = false;  // all layers have the window; else those that other keys name
};

constexpr Architecture ARCHITECTURES[] = {
    {.name = "LlamaForCausalLM"},
    {.name = "MistralForCausalLM", .sliding = true},
    {.name = "Qwen2ForCausalLM"},
    {.name = "Qwen3ForCausalLM"},
    {.name = "PhiForCausalLM", .rotated = 0.5, .eps_key = "layer_norm_eps", .eps = 1e-5, .act = "gelu_new"},
    {.name = "BitNetForCausalLM", .theta = 500000, .eps = 1e-5, .act = "relu2"},
    {.name = "BitnetForCausalLM", .eps = 1e-5},
};

const Architecture& architecture(const Fields& config) {
  const Json* list = config.find("architectures");
  std::string name = list && list->array() && !list->array()->empty() && list->array()->front().string()
                         ? *list->array()->front().string()
                         : std::string();
  std::string known;
  for (const Architecture& one : ARCHITECTURES) {
    if (name == one.name) return one;
    known += text(known.empty() ? "" : ", ", one.name);
  }
  unusable(config.where(), ": architecture \"", name, "\" is not supported (", known, ")");
}

// The keys lie in "rope_scaling", or in "rope_parameters" together with theta.
void read_rope(const Fields& config, const Architecture& arch, Transformer* t, std::vector<std::string>* notes) {
  Rope& rope = t->rope;
  std::optional<Fields> scaling = config.object("rope_parameters");
  if (!scaling) scaling = config.object("rope_scaling");
  auto either = [&](const char* key, f64 otherwise) {
    std::optional<f64> value = scaling ? scaling->number(key) : std::nullopt;
    return value ? *value : config.number(key).value_or(otherwise);
  };
  rope.theta = either("rope_theta", arch.theta);
  rope.interleaved = config.flag("rope_interleaved").value_or(false);
  const f64 part = either("partial_rotary_factor", arch.rotated);
  if (!(part > 0 && part <= 1)) unusable(config.where(), ": \"partial_rotary_factor\" is ", part, ", expected 0 to 1");
  rope.dims = static_cast<i64>(static_cast<f64>(t->head_dim) * part);
  if (!scaling) return;
  std::string type = scaling->string("rope_type");
  if (type.empty()) type = scaling->string("type");
  if (type.empty() || type == "default") return;
  const f64 context = static_cast<f64>(t->context);
  rope.original_context = config.number("original_max_position_embeddings")
                              .value_or(scaling->number("original_max_position_embeddings").value_or(context));
  rope.factor = scaling->number("factor").value_or(context / rope.original_context);
  if (type == "linear") {
    rope.scaling = Rope::Scaling::linear;
  } else if (type == "llama3") {
    rope.scaling = Rope::Scaling::llama3;
    rope.low_freq_factor = scaling->number("low_freq_factor").value_or(1);
    rope.high_freq_factor = scaling->number("high_freq_factor").value_or(4);
  } else if (type == "yarn") {
    rope.scaling = Rope::Scaling::yarn;
    rope.beta_fast = scaling->number("beta_fast").value_or(32);
    rope.beta_slow = scaling->number("beta_slow").value_or(1);
    rope.truncate = scaling->flag("truncate").value_or(true);
    rope.attention_factor = scaling->number("attention_factor").value_or(0);
    f64 mscale = scaling->number("mscale").value_or(0), all = scaling->number("mscale_all_dim").value_or(0);
    if (rope.attention_factor <= 0 && mscale > 0 && all > 0 && rope.factor > 1) {
      rope.attention_factor = (0.1 * mscale * std::log(rope.factor) + 1) / (0.1 * all * std::log(rope.factor) + 1);
    }
  } else if (type == "dynamic") {
    notes->push_back(text("rotary scaling \"dynamic\" is left out: the same up to ", t->context, " positions"));
  } else {
    unusable(scaling->where(), ": rotary scaling \"", type, "\" is not supported (linear, llama3, yarn, dynamic)");
  }
}

void read_activation(const Fields& config, const Architecture& arch, Transformer* t) {
  std::string act = config.string("hidden_act");
  if (act.empty()) act = arch.act;
  t->phi = arch.name == std::string("PhiForCausalLM");
  t->relu2 = act == "relu2";
  bool known = t->phi ? act == "gelu_new" || act == "gelu_pytorch_tanh" || act == "gelu_fast"
                      : act == "silu" || act == "swish" || act == "relu2";
  if (!known) {
    unusable(config.where(), ": hidden_act \"", act, "\" is not supported (", t->phi ? "gelu_new" : "silu, relu2", ")");
  }
  if (config.flag("qk_layernorm").value_or(false)) {
    unusable(config.where(), ": \"qk_layernorm\", a layer norm of each query and key, is not supported");
  }
}

// Layers whose attention is limited to the window.
i64 sliding_layers(const Fields& config, const Architecture& arch, i64 layers) {
  if (arch.sliding) return layers;
  if (!config.flag("use_sliding_window").value_or(false)) return 0;
  if (const Json* types = config.find("layer_types"); types && types->array()) {
    return std::count_if(types->array()->begin(), types->array()->end(),
                         [](const Json& type) { return type.string() && *type.string() == "sliding_attention"; });
  }
  return std::max<i64>(0, layers - std::max<i64>(0, config.integer("max_window_layers").value_or(28)));
}

void read_window(const Fields& config, const Architecture& arch, HfConfig* out) {
  Transformer& t = out->shape;
  const i64 window = config.integer("sliding_window").value_or(0), sliding = sliding_layers(config, arch, t.layers);
  if (window < 1 || window >= t.context || sliding == 0) return;  // else the same as full attention
  if (sliding == t.layers) {
    t.window = window;
    return;
  }
  out->notes.push_back(text("sliding-window attention of ", window, " in ", sliding, " of ", t.layers,
                            " layers: the context is limited to it, from ", t.context));
  t.context = window;
}

void read_token_ids(const std::string& folder, Transformer* t) {
  const GenerationIds ids = read_generation_ids(folder, t->vocab);
  t->bos = ids.bos;
  t->stop = ids.eos;
}

void read_quantization(const Fields& config, const std::string& arch, HfConfig* out) {
  out->bitnet = arch == "BitNetForCausalLM" || arch == "BitnetForCausalLM";
  std::optional<Fields> quantization = config.object("quantization_config");
  if (!quantization) return;
  std::string method = quantization->string("quant_method");
  if (method != "bitnet") unusable(quantization->where(), ": quant_method \"", method, "\" is not supported (bitnet)");
  out->bitnet = true;
  std::string linear = quantization->string("linear_class");
  if (linear.empty()) linear = "bitlinear";
  if (linear != "bitlinear" && linear != "autobitlinear") {
    unusable(quantization->where(), ": linear_class \"", linear, "\" is not supported (bitlinear, autobitlinear)");
  }
  out->scale_divides = linear == "bitlinear";
  const Json* floats = quantization->find("modules_to_not_convert");
  if (!floats) return;
  if (!floats->array()) unusable(quantization->where(), ": \"modules_to_not_convert\" is not a list");
  for (const Json& module : *floats->array()) {
    const std::string name = module.string() ? *module.string() : "";
    if (name.empty() || name.find_first_of("^$*+?()[]{}|\\") != std::string::npos) {
      unusable(quantization->where(), ": modules_to_not_convert: \"", name,
               "\", expected the start or end of a module's name");
    }
    out->float_modules.push_back(name);
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

HfConfig read_hf_config(const std::string& folder, bool has_head) {
  const std::string path = folder + "/config.json";
  const Json json = read_json(path);
  const Fields config(json, path);
  const Architecture& arch = architecture(config);

  HfConfig out;
  Transformer& t = out.shape;
  t.layers = config.required("num_hidden_layers");
  t.dim = config.required("hidden_size");
  t.ffn_dim = config.required("intermediate_size");
  t.heads = config.required("num_attention_heads");
  t.kv_heads = config.integer("num_key_value_heads").value_or(t.heads);
  t.vocab = config.required("vocab_size");
  t.context = config.integer("max_position_embeddings").value_or(2048);
  t.head_dim = config.integer("head_dim").value_or(t.heads > 0 ? t.dim / t.heads : 0);
  t.norm_eps = config.number(arch.eps_key).value_or(arch.eps);
  t.final_norm_eps = config.number("final_norm_eps");
  t.unit_norms = config.string("norms").starts_with("unit");
  read_quantization(config, arch.name, &out);
  read_activation(config, arch, &t);
  read_rope(config, arch, &t, &out.notes);
  read_window(config, arch, &out);
  check_sizes(t, path);
  read_token_ids(folder, &t);
  out.tied = !has_head || config.flag("tie_word_embeddings").value_or(false);
  return out;
}

}  // namespace edgellm::convert
