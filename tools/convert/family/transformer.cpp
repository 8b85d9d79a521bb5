#include "convert/family/transformer.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "file/limits.h"

namespace edgellm::convert {
namespace {

constexpr f64 PI = 3.14159265358979323846;

// arXiv:2309.00071 (YaRN), section 3.2 and appendix A: dimension at which a wave turns `rotations` times in the original
// context.
f64 yarn_dimension(const Rope& rope, f64 dims, f64 rotations) {
  return dims * std::log(rope.original_context / (rotations * 2 * PI)) / (2 * std::log(rope.theta));
}

f64 scaled(const Rope& rope, f64 dims, f64 pair, f64 frequency) {
  switch (rope.scaling) {
    case Rope::Scaling::none:
      return frequency;
    case Rope::Scaling::linear:
      return frequency / rope.factor;
    case Rope::Scaling::llama3: {  // short waves stay, long ones stretch, those between are mixed
      f64 turns = rope.original_context * frequency / (2 * PI);
      if (turns < rope.low_freq_factor) return frequency / rope.factor;
      if (turns > rope.high_freq_factor) return frequency;
      f64 mix = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      return (1 - mix) * frequency / rope.factor + mix * frequency;
    }
    case Rope::Scaling::yarn: {
      f64 low = yarn_dimension(rope, dims, rope.beta_fast), high = yarn_dimension(rope, dims, rope.beta_slow);
      if (rope.truncate) low = std::floor(low), high = std::ceil(high);
      low = std::max(low, 0.0), high = std::min(high, dims - 1);
      if (!(high < low) && !(high > low)) high = low + 0.001;
      f64 ramp = std::clamp((pair - low) / (high - low), 0.0, 1.0);
      return ramp * frequency / rope.factor + (1 - ramp) * frequency;
    }
  }
  return frequency;
}

i64 rotated_dims(const Transformer& t) {
  return t.rope.dims ? t.rope.dims : t.head_dim;
}

// Nothing where all tokens see all positions, one number for layers that are alike.
std::optional<MetadataValue> window_value(const std::vector<u32>& windows) {
  if (std::all_of(windows.begin(), windows.end(), [](u32 window) { return window == 0; })) return std::nullopt;
  if (std::all_of(windows.begin(), windows.end(), [&](u32 window) { return window == windows[0]; })) return windows[0];
  return windows;
}

}  // namespace

void check_sizes(const Transformer& t, const std::string& source) {
  struct Size {
    const char* name;
    i64 value, most;
  };
  const Size sizes[] = {{"layers", t.layers, MAX_LAYERS},     {"hidden size", t.dim, MAX_COLUMNS},
                        {"ffn size", t.ffn_dim, MAX_COLUMNS}, {"heads", t.heads, MAX_HEADS},
                        {"kv heads", t.kv_heads, MAX_HEADS},  {"head size", t.head_dim, MAX_HEAD_DIM},
                        {"vocabulary", t.vocab, MAX_VOCAB},   {"context", t.context, MAX_CONTEXT}};
  for (const Size& size : sizes)
    check_size(size.name, size.value, size.most, source);
  if (t.heads % t.kv_heads != 0) unusable(source, ": ", t.heads, " heads are not a multiple of ", t.kv_heads, " kv heads");
  if (t.heads * t.head_dim > MAX_COLUMNS) {
    unusable(source, ": ", t.heads, " heads of ", t.head_dim, " are more than ", MAX_COLUMNS, " columns");
  }
  i64 dims = rotated_dims(t);
  if (dims < 2 || dims > t.head_dim || dims % 2 != 0) {
    unusable(source, ": ", dims, " rotated dimensions, expected an even number up to the head size ", t.head_dim);
  }
  const Rope& rope = t.rope;
  bool stretched = rope.scaling != Rope::Scaling::none;
  bool needs_context = rope.scaling == Rope::Scaling::llama3 || rope.scaling == Rope::Scaling::yarn;
  if (!(rope.theta > 1) || !std::isfinite(rope.theta) || (stretched && !(rope.factor > 0)) ||
      (needs_context && !(rope.original_context > 0)) || !(rope.high_freq_factor > rope.low_freq_factor)) {
    unusable(source, ": rotary embedding of theta ", rope.theta, ", factor ", rope.factor, ", original context ",
             rope.original_context, ", frequency factors ", rope.low_freq_factor, " and ", rope.high_freq_factor,
             " makes no sense");
  }
  check_epsilon("norm epsilon", t.norm_eps, source);
  check_epsilon("epsilon of the last norm", t.final_norm_eps.value_or(t.norm_eps), source);
  constexpr f64 LEAST = static_cast<f64>(MIN_ROPE_SCALE), MOST = static_cast<f64>(MAX_ROPE_SCALE);
  if (f64 scale = rope_attention_scale(rope); !(scale >= LEAST && scale <= MOST)) {
    unusable(source, ": the rotary embedding's attention factor is ", scale, ", expected ", LEAST, " to ", MOST);
  }
}

std::vector<f32> rope_frequencies(const Transformer& t) {
  i64 dims = rotated_dims(t);
  std::vector<f32> out;
  for (i64 i = 0; i < dims / 2; i++) {
    f64 frequency = std::pow(t.rope.theta, -2.0 * static_cast<f64>(i) / static_cast<f64>(dims));
    if (!t.rope.divisors.empty()) frequency /= static_cast<f64>(t.rope.divisors[static_cast<size_t>(i)]);
    out.push_back(static_cast<f32>(scaled(t.rope, static_cast<f64>(dims), static_cast<f64>(i), frequency)));
  }
  return out;
}

f64 rope_attention_scale(const Rope& rope) {
  if (rope.scaling != Rope::Scaling::yarn) return 1;
  if (rope.attention_factor > 0) return rope.attention_factor;
  return rope.factor > 1 ? 0.1 * std::log(rope.factor) + 1 : 1;
}

std::string layer_name(i64 layer, const char* tensor) {
  return text("layers.", layer, ".", tensor);
}

Expected expected_of(const Transformer& t, const std::string& name) {
  const i64 q = t.heads * t.head_dim, kv = t.kv_heads * t.head_dim;
  if (name == "embed") return {Role::embedding, t.vocab, t.dim};
  if (name == "head") return {Role::head, t.vocab, t.dim};
  if (name == "norm" || name == "norm_bias") return {Role::vector, 1, t.dim};
  if (name == "head_bias") return {Role::vector, 1, t.vocab};
  size_t dot = name.find('.', 7);
  if (!name.starts_with("layers.") || dot == std::string::npos) return {};
  struct Entry {
    const char* name;
    Expected expected;
  };
  const Entry entries[] = {
      {"attn_norm", {Role::vector, 1, t.dim}},
      {"attn_norm_bias", {Role::vector, 1, t.dim}},
      {"ffn_norm", {Role::vector, 1, t.dim}},
      {"q", {Role::matrix, q, t.dim}},
      {"k", {Role::matrix, kv, t.dim}},
      {"v", {Role::matrix, kv, t.dim}},
      {"o", {Role::matrix, t.dim, q}},
      {"q_bias", {Role::vector, 1, q}},
      {"k_bias", {Role::vector, 1, kv}},
      {"v_bias", {Role::vector, 1, kv}},
      {"o_bias", {Role::vector, 1, t.dim}},
      {"q_norm", {Role::vector, 1, t.head_dim}},
      {"k_norm", {Role::vector, 1, t.head_dim}},
      {"attn_sub_norm", {Role::vector, 1, q}},
      {"ffn_sub_norm", {Role::vector, 1, t.ffn_dim}},
      {"gate", {Role::matrix, t.ffn_dim, t.dim}},
      {"up", {Role::matrix, t.ffn_dim, t.dim}},
      {"down", {Role::matrix, t.dim, t.ffn_dim}},
      {"gate_bias", {Role::vector, 1, t.ffn_dim}},
      {"up_bias", {Role::vector, 1, t.ffn_dim}},
      {"down_bias", {Role::vector, 1, t.dim}},
  };
  std::string rest = name.substr(dot + 1);
  for (const Entry& entry : entries) {
    if (rest == entry.name) return entry.expected;
  }
  return {};
}

void complete(const Transformer& t, const std::string& source, Model* model) {
  model->vocab = t.vocab;
  auto add = [&](const char* key, MetadataValue value) { model->metadata.emplace_back(key, std::move(value)); };
  auto size = [&](const char* key, i64 value) { add(key, static_cast<u32>(value)); };
  add("arch", "transformer");
  size("layers", t.layers);
  size("dim", t.dim);
  size("ffn_dim", t.ffn_dim);
  size("heads", t.heads);
  size("kv_heads", t.kv_heads);
  size("head_dim", t.head_dim);
  size("vocab", t.vocab);
  size("context", t.context);
  add("norm_eps", static_cast<f32>(t.norm_eps));
  if (t.final_norm_eps) add("final_norm_eps", static_cast<f32>(*t.final_norm_eps));
  if (t.unit_norms) add("unit_norms", u32{1});
  if (t.phi) add("norm", "layer");
  if (t.phi) add("parallel", u32{1});
  if (std::optional<MetadataValue> window = window_value(t.windows)) add("window", std::move(*window));
  if (t.context_limit) size("context_limit", t.context_limit);
  add("gate", t.phi ? "gelu" : t.relu2 ? "relu2" : "silu");
  add("rope", t.rope.interleaved ? "interleaved" : "half");
  f64 attention_scale = rope_attention_scale(t.rope);
  if (attention_scale < 1 || attention_scale > 1) add("rope_attention_scale", static_cast<f32>(attention_scale));
  if (t.bos && *t.bos < t.vocab) model->bos = t.bos;
  for (u32 id : t.stop) {
    if (id < t.vocab) model->stop.push_back(id);
  }

  std::set<std::string> names;
  for (const std::unique_ptr<Tensor>& tensor : model->tensors) {
    names.insert(tensor->name);
    Expected expected = expected_of(t, tensor->name);
    if (!expected.role || tensor->role != *expected.role || tensor->rows != expected.rows || tensor->cols != expected.cols) {
      unusable(source, ": tensor ", tensor->name, " is ", tensor->rows, " x ", tensor->cols, ", expected ", expected.rows,
               " x ", expected.cols);
    }
  }
  auto need = [&](const std::string& name) {
    if (!names.contains(name)) unusable(source, ": there is no tensor for ", name);
  };
  need("embed");
  need("norm");
  for (i64 layer = 0; layer < t.layers; layer++) {
    for (const char* name : {"q", "k", "v", "o", "up", "down"})
      need(layer_name(layer, name));
    if (!t.phi) need(layer_name(layer, "gate"));
    if (t.unit_norms) continue;
    need(layer_name(layer, "attn_norm"));
    if (!t.phi) need(layer_name(layer, "ffn_norm"));
  }
  std::vector<f32> frequencies = rope_frequencies(t);
  for (size_t i = 0; i < frequencies.size(); i++) {
    if (frequencies[i] > 0 && std::isfinite(frequencies[i])) continue;
    unusable(source, ": rotary embedding of theta ", t.rope.theta, " and factor ", t.rope.factor, ": the frequency of pair ",
             i, " is ", frequencies[i], " as an f32");
  }
  model->tensors.insert(model->tensors.begin(), std::make_unique<ComputedVector>("rope.inv_freq", std::move(frequencies)));
}

}  // namespace edgellm::convert
