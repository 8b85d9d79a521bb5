#include "hf_config.h"

#include <algorithm>
#include <cmath>

#include "fields.h"

namespace edgellm::convert {
namespace {

constexpr const char* ARCHITECTURES[] = {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",
                                         "Qwen3ForCausalLM", "BitNetForCausalLM",  "BitnetForCausalLM"};

std::string architecture(const Fields& config) {
  const Json* list = config.find("architectures");
  std::string name = list && list->array() && !list->array()->empty() && list->array()->front().string()
                         ? *list->array()->front().string()
                         : std::string();
  std::string known;
  for (const char* one : ARCHITECTURES) {
    if (name == one) return name;
    known += text(known.empty() ? "" : ", ", one);
  }
  unusable(config.where(), ": architecture \"", name, "\" is not supported (", known, ")");
}

// The keys lie in "rope_scaling", or in "rope_parameters" together with theta.
void read_rope(const Fields& config, Transformer* t, std::vector<std::string>* notes) {
  Rope& rope = t->rope;
  std::optional<Fields> scaling = config.object("rope_parameters");
  if (!scaling) scaling = config.object("rope_scaling");
  rope.theta = config.number("rope_theta").value_or(scaling ? scaling->number("rope_theta").value_or(10000) : 10000);
  rope.interleaved = config.flag("rope_interleaved").value_or(false);
  if (std::optional<f64> part = config.number("partial_rotary_factor")) {
    rope.dims = static_cast<i64>(static_cast<f64>(t->head_dim) * *part);
  }
  if (!scaling) return;
  std::string type = scaling->string("rope_type");
  if (type.empty()) type = scaling->string("type");
  if (type.empty() || type == "default") return;
  rope.factor = scaling->number("factor").value_or(1);
  rope.original_context = scaling->number("original_max_position_embeddings").value_or(static_cast<f64>(t->context));
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

void read_activation(const Fields& config, bool bitnet, Transformer* t) {
  std::string act = config.string("hidden_act");
  if (act == "relu2" || (act.empty() && bitnet)) {
    t->relu2 = true;
  } else if (act != "silu" && act != "swish" && !act.empty()) {
    unusable(config.where(), ": hidden_act \"", act, "\" is not supported (silu, relu2)");
  }
}

// Mistral's window is the same as full attention as long as the context is no longer.
void read_window(const Fields& config, const std::string& arch, HfConfig* out) {
  std::optional<i64> window = config.integer("sliding_window");
  if (!window || *window < 1 || *window >= out->shape.context) return;
  if (!config.flag("use_sliding_window").value_or(arch == "MistralForCausalLM")) return;
  out->notes.push_back(
      text("sliding-window attention of ", *window, ": the context is limited to it, from ", out->shape.context));
  out->shape.context = *window;
}

void add_ids(const Json* value, const std::string& where, std::vector<u32>* ids) {
  if (!value) return;
  if (value->array()) {
    for (const Json& element : *value->array())
      add_ids(&element, where, ids);
    return;
  }
  const f64* number = value->number();
  if (!number || !(*number >= -1) || *number > INT32_MAX || *number != std::floor(*number)) {
    unusable(where, " is not a token id or a list of them");
  }
  if (*number < 0) return;  // -1: none
  u32 id = static_cast<u32>(*number);
  if (std::find(ids->begin(), ids->end(), id) == ids->end()) ids->push_back(id);
}

void read_token_ids(const Fields& config, const std::string& folder, Transformer* t) {
  std::vector<u32> bos;
  add_ids(config.find("bos_token_id"), config.where() + ": bos_token_id", &bos);
  add_ids(config.find("eos_token_id"), config.where() + ": eos_token_id", &t->stop);
  std::string path = folder + "/generation_config.json";
  if (file_exists(path)) {
    Json generation = read_json(path);
    add_ids(generation.find("eos_token_id"), path + ": eos_token_id", &t->stop);
    if (bos.empty()) add_ids(generation.find("bos_token_id"), path + ": bos_token_id", &bos);
  }
  if (!bos.empty() && bos.front() < t->vocab) t->bos = bos.front();
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
}

}  // namespace

HfConfig read_hf_config(const std::string& folder, bool has_head) {
  const std::string path = folder + "/config.json";
  const Json json = read_json(path);
  const Fields config(json, path);
  const std::string arch = architecture(config);

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
  t.norm_eps = config.number("rms_norm_eps").value_or(1e-6);
  t.final_norm_eps = config.number("final_norm_eps");
  t.unit_norms = config.string("norms").starts_with("unit");
  read_quantization(config, arch, &out);
  read_activation(config, arch == "BitNetForCausalLM", &t);
  read_rope(config, &t, &out.notes);
  read_window(config, arch, &out);
  check_sizes(t, path);
  read_token_ids(config, folder, &t);
  out.tied = !has_head || config.flag("tie_word_embeddings").value_or(false);
  return out;
}

}  // namespace edgellm::convert
