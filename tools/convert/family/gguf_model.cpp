// GGUF models of the transformer family. Keys and tensor names are those of llama.cpp (ggml-org/llama.cpp,
// gguf-py/gguf/constants.py).
#include <algorithm>
#include <cmath>
#include <set>

#include "convert/family/hf_fields.h"
#include "convert/family/source.h"
#include "convert/family/transformer.h"
#include "convert/source/gguf.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

struct Family {
  const char* architecture;
  bool permuted;  // rows of q and k lie so that rotary pairs are neighbours
  bool relu2;
  bool bitnet;
  bool phi = false;
};

constexpr Family FAMILIES[] = {
    {"llama", true, false, false},       {"qwen2", false, false, false},   {"qwen3", false, false, false},
    {"bitnet", false, false, true},      {"bitnet-25", false, true, true}, {"bitnet-b1.58", false, true, true},
    {"phi2", false, false, false, true},
};

// Families that are read from what their authors publish.
constexpr struct {
  const char *architecture, *source;
} ELSEWHERE[] = {
    {"rwkv7", "the author's .pth or .safetensors file (--tokenizer takes this file's vocabulary)"},
    {"mamba", "the Hugging Face folder"},
    {"mamba2", "the Hugging Face folder"},
};

// Rows i and i + half of every head, which are 2i and 2i + 1 in `permuted`.
class Unpermuted : public Tensor {
 public:
  Unpermuted(std::unique_ptr<Tensor> permuted, i64 head_dim)
      : Tensor(permuted->name, permuted->role, permuted->rows, permuted->cols),
        permuted_(std::move(permuted)),
        head_dim_(head_dim) {}

  void values(i64 row, i64 count, f32* out) const override {
    // A bias is one row of them all.
    if (rows == 1) {
      std::vector<f32> all(static_cast<size_t>(cols));
      permuted_->values(0, 1, all.data());
      for (i64 c = 0; c < cols; c++)
        out[c] = all[static_cast<size_t>(place(c))];
      return;
    }
    for (i64 r = 0; r < count; r++)
      permuted_->values(place(row + r), 1, out + r * cols);
  }
  std::optional<Ternary> ternary() const override { return permuted_->ternary(); }
  void codes(i64 row, i64 count, i8* out, f32*) const override {
    for (i64 r = 0; r < count; r++)
      permuted_->codes(place(row + r), 1, out + r * cols, nullptr);
  }
  std::optional<Format> native() const override { return permuted_->native(); }
  void i4(i64 row, i64 count, i8* codes, u16* scales) const override {
    for (i64 r = 0; r < count; r++)
      permuted_->i4(place(row + r), 1, codes + r * cols, scales + r * cols / GROUP);
  }

 private:
  i64 place(i64 row) const {
    i64 half = head_dim_ / 2, within = row % head_dim_;
    return row - within + within % half * 2 + within / half;
  }

  std::unique_ptr<Tensor> permuted_;
  i64 head_dim_;
};

const Family& family_of(const Gguf& gguf) {
  std::string name = gguf.string("general.architecture").value_or(""), known;
  for (const Family& family : FAMILIES) {
    if (name == family.architecture) return family;
    known += text(known.empty() ? "" : ", ", family.architecture);
  }
  for (const auto& one : ELSEWHERE) {
    if (name == one.architecture)
      unusable(gguf.file->path, ": general.architecture is \"", name, "\", which is not read from GGUF: give ", one.source);
  }
  unusable(gguf.file->path, ": general.architecture is \"", name, "\", which is not supported (", known, ")");
}

void refuse_parts(const Gguf& gguf) {
  std::string type = gguf.string("general.type").value_or("model");
  if (type != "model") unusable(gguf.file->path, ": general.type is \"", type, "\", expected \"model\"");
  i64 parts = gguf.integer("split.count").value_or(1);
  if (parts > 1)
    unusable(gguf.file->path, ": is one of ", parts, " parts of a model: merge them (llama-gguf-split --merge)");
}

// The keys of an architecture, without its name in front.
class Keys {
 public:
  Keys(const Gguf& gguf, std::string architecture) : gguf_(gguf), prefix_(std::move(architecture) + ".") {}

  std::optional<i64> integer(const char* key) const { return gguf_.integer(prefix_ + key); }
  std::optional<f64> number(const char* key) const { return gguf_.number(prefix_ + key); }
  std::optional<std::string> string(const char* key) const { return gguf_.string(prefix_ + key); }

  i64 required(const char* key) const {
    std::optional<i64> value = integer(key);
    if (!value) unusable(gguf_.file->path, ": ", prefix_, key, " is missing");
    return *value;
  }

 private:
  const Gguf& gguf_;
  std::string prefix_;
};

void read_rope(const Gguf& gguf, const Keys& keys, Transformer* t) {
  Rope& rope = t->rope;
  rope.theta = keys.number("rope.freq_base").value_or(10000);
  rope.dims = keys.integer("rope.dimension_count").value_or(t->head_dim);
  std::string scaling = keys.string("rope.scaling.type").value_or("");
  rope.factor = keys.number("rope.scaling.factor").value_or(keys.number("rope.scale_linear").value_or(1));
  if (scaling == "yarn") {
    rope.scaling = Rope::Scaling::yarn;
    rope.original_context = keys.number("rope.scaling.original_context_length").value_or(static_cast<f64>(t->context));
    rope.beta_fast = keys.number("rope.scaling.yarn_beta_fast").value_or(32);
    rope.beta_slow = keys.number("rope.scaling.yarn_beta_slow").value_or(1);
    // Beside the factor that yarn has by itself.
    std::optional<f64> own = keys.number("rope.scaling.yarn_attn_factor");
    if (!own) own = keys.number("rope.scaling.attn_factor");
    if (own) rope.attention_factor = *own * rope_attention_scale(rope);
  } else if (scaling == "linear" || (scaling.empty() && rope.factor > 1)) {
    rope.scaling = Rope::Scaling::linear;
  } else if (!scaling.empty() && scaling != "none") {
    unusable(gguf.file->path, ": rope.scaling.type is \"", scaling, "\", which is not supported (none, linear, yarn)");
  }
}

// Only the kind of a list is kept: none is accepted where it would count.
Json as_json(const Gguf& gguf, const std::string& key, const GgufValue& value) {
  if (value.list) return Json(Json::Array(1));
  if (value.type == GgufType::string) return Json(*gguf.string(key));
  if (value.type == GgufType::boolean) return Json(*gguf.flag(key));
  return Json(*gguf.number(key));
}

// Refuses what would change the computation, by name.
void check_keys(const Gguf& gguf, const Family& family, std::vector<std::string>* notes) {
  const std::string prefix = text(family.architecture, ".");
  Json::Object own;
  for (const auto& [key, value] : gguf.metadata) {
    if (key.starts_with(prefix)) own.emplace_back(key.substr(prefix.size()), as_json(gguf, key, value));
  }
  complete_config(Json(std::move(own)), text(gguf.file->path, ": ", family.architecture), config_class("GGUF"), notes);
}

Transformer read_shape(const Gguf& gguf, const Family& family, std::vector<std::string>* notes) {
  check_keys(gguf, family, notes);
  Keys keys(gguf, family.architecture);
  Transformer t;
  t.layers = keys.required("block_count");
  t.dim = keys.required("embedding_length");
  t.ffn_dim = keys.required("feed_forward_length");
  t.heads = keys.required("attention.head_count");
  t.kv_heads = keys.integer("attention.head_count_kv").value_or(t.heads);
  t.head_dim = keys.integer("attention.key_length").value_or(t.heads > 0 ? t.dim / t.heads : 0);
  if (i64 length = keys.integer("attention.value_length").value_or(t.head_dim); length != t.head_dim) {
    unusable(gguf.file->path, ": attention.value_length is ", length, ", expected that of keys, ", t.head_dim);
  }
  t.context = keys.integer("context_length").value_or(2048);
  auto embedding = gguf.tensors.find("token_embd.weight");
  if (embedding == gguf.tensors.end()) unusable(gguf.file->path, ": there is no tensor token_embd.weight");
  t.vocab = static_cast<i64>(embedding->second.shape.size() == 2 ? embedding->second.shape[0] : 0);
  t.norm_eps = keys.number(family.phi ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon").value_or(1e-5);
  t.relu2 = family.relu2;
  t.phi = family.phi;
  read_rope(gguf, keys, &t);
  if (family.permuted && t.rope.dims != t.head_dim) {
    unusable(gguf.file->path, ": rope.dimension_count is ", t.rope.dims, ", expected the head size ", t.head_dim);
  }
  check_sizes(t, gguf.file->path);
  const i64 window = keys.integer("attention.sliding_window").value_or(0);
  if (window < 0) unusable(gguf.file->path, ": attention.sliding_window is ", window, ", expected 0 or more");
  if (window <= MAX_CONTEXT) t.windows.assign(static_cast<size_t>(t.layers), static_cast<u32>(window));
  return t;
}

void read_token_ids(const Gguf& gguf, Transformer* t) {
  auto id = [&](const char* name) { return gguf.integer(text("tokenizer.ggml.", name, "_token_id")).value_or(-1); };
  if (i64 bos = id("bos"); bos >= 0 && bos < t->vocab) t->bos = static_cast<u32>(bos);
  for (const char* name : {"eos", "eot", "eom"}) {
    if (i64 stop = id(name); stop >= 0 && stop < t->vocab) t->stop.push_back(static_cast<u32>(stop));
  }
}

constexpr struct {
  const char* theirs;
  const char* ours;
  bool rotated = false;
} LAYER_NAMES[] = {
    {"attn_norm.weight", "attn_norm"}, {"attn_q.weight", "q", true},
    {"attn_k.weight", "k", true},      {"attn_v.weight", "v"},
    {"attn_q.bias", "q_bias", true},   {"attn_k.bias", "k_bias", true},
    {"attn_v.bias", "v_bias"},         {"attn_q_norm.weight", "q_norm"},
    {"attn_k_norm.weight", "k_norm"},  {"attn_sub_norm.weight", "attn_sub_norm"},
    {"attn_output.weight", "o"},       {"attn_output.bias", "o_bias"},
    {"ffn_norm.weight", "ffn_norm"},   {"ffn_gate.weight", "gate"},
    {"ffn_up.weight", "up"},           {"ffn_sub_norm.weight", "ffn_sub_norm"},
    {"ffn_down.weight", "down"},       {"attn_norm.bias", "attn_norm_bias"},
    {"ffn_up.bias", "up_bias"},        {"ffn_down.bias", "down_bias"},
};

class Loader {
 public:
  Loader(const Gguf& gguf, const Family& family, Transformer* shape, Model* model)
      : gguf_(gguf), family_(family), shape_(*shape), model_(*model), left_(gguf.tensors) {}

  void load() {
    take_divisors();
    take("token_embd.weight", "embed");
    for (i64 layer = 0; layer < shape_.layers; layer++) {
      for (const char* kind : {".weight", ".bias"})
        split_qkv(text("blk.", layer, ".attn_"), kind);
      for (const auto& name : LAYER_NAMES)
        take(text("blk.", layer, ".", name.theirs), layer_name(layer, name.ours), family_.permuted && name.rotated);
    }
    take("output_norm.weight", "norm");
    take("output_norm.bias", "norm_bias");
    take("output.weight", "head");  // none: the embedding
    take("output.bias", "head_bias");
    if (!left_.empty()) {
      unusable(gguf_.file->path, ": tensor ", left_.begin()->first, " has no place in this family or is beyond its layers");
    }
  }

 private:
  std::optional<GgufTensor> pull(const std::string& name) {
    auto found = left_.find(name);
    if (found == left_.end()) return std::nullopt;
    GgufTensor tensor = std::move(found->second);
    left_.erase(found);
    return tensor;
  }

  // Queries, keys and values may lie in one tensor, one after the other.
  void split_qkv(const std::string& prefix, const char* kind) {
    std::optional<GgufTensor> all = pull(prefix + "qkv" + kind);
    if (!all) return;
    const u64 q = static_cast<u64>(shape_.heads * shape_.head_dim), kv = static_cast<u64>(shape_.kv_heads * shape_.head_dim);
    const std::string name = prefix + "qkv" + kind;
    if (all->format->id == GGML_I2_S)
      unusable(gguf_.file->path, ": tensor ", name, " is I2_S, with one scale for all three");
    if (all->shape.empty() || all->shape[0] != q + 2 * kv) {
      unusable(gguf_.file->path, ": tensor ", name, " has ", all->shape.empty() ? 0 : all->shape[0], " rows, expected ",
               q + 2 * kv);
    }
    const u64 row_bytes = all->data.size / (q + 2 * kv);
    u64 row = 0;
    for (auto [part, rows] : {std::pair{"q", q}, {"k", kv}, {"v", kv}}) {
      GgufTensor own = *all;
      own.shape[0] = rows;
      own.data = {all->data.data + row * row_bytes, rows * row_bytes};
      if (!left_.emplace(prefix + part + kind, std::move(own)).second) {
        unusable(gguf_.file->path, ": tensor ", prefix, part, kind, " is there beside ", name);
      }
      row += rows;
    }
  }

  std::unique_ptr<Tensor> open(const GgufTensor& tensor, const std::string& ours, const Expected& e, f32 factor) {
    const BlockFormat& format = *tensor.format;
    if (format.id == GGML_I2_S) {
      if (!model_.i2s) model_.i2s = std::make_shared<I2sLayout>();
      return std::make_unique<I2sTensor>(ours, *e.role, e.rows, e.cols, gguf_.file, tensor.data, model_.i2s, factor);
    }
    if (format.decode) {
      return std::make_unique<BlockTensor>(ours, *e.role, e.rows, e.cols, gguf_.file, tensor.data, format, factor);
    }
    return std::make_unique<FloatTensor>(ours, *e.role, e.rows, e.cols, gguf_.file, tensor.data, format.dtype, factor);
  }

  void check_shape(const GgufTensor& tensor, const std::string& theirs, const Expected& e) const {
    std::vector<u64> shape = tensor.shape;
    while (shape.size() < 2)
      shape.insert(shape.begin(), 1);
    if (shape == std::vector<u64>{static_cast<u64>(e.rows), static_cast<u64>(e.cols)}) return;
    std::string found;
    for (u64 size : tensor.shape)
      found += text(found.empty() ? "" : " x ", size);
    unusable(gguf_.file->path, ": tensor ", theirs, " is ", found, ", expected ", e.rows, " x ", e.cols);
  }

  // One value that the whole matrix is multiplied by.
  f32 scale_beside(const std::string& theirs) {
    if (!theirs.ends_with(".weight")) return 1;
    std::string name = theirs.substr(0, theirs.size() - 6) + "scale";
    std::optional<GgufTensor> tensor = pull(name);
    if (!tensor) return 1;
    Expected one{Role::vector, 1, 1};
    check_shape(*tensor, name, one);
    f32 scale = 0;
    open(*tensor, name, one, 1)->values(0, 1, &scale);
    if (!(scale > 0) || !std::isfinite(scale)) unusable(gguf_.file->path, ": tensor ", name, " is ", scale);
    return scale;
  }

  void take(const std::string& theirs, const std::string& ours, bool permuted = false) {
    std::optional<GgufTensor> tensor = pull(theirs);
    if (!tensor) return;
    Expected expected = expected_of(shape_, ours);
    check_shape(*tensor, theirs, expected);
    f32 factor = *expected.role == Role::matrix ? scale_beside(theirs) : 1;
    std::unique_ptr<Tensor> opened = open(*tensor, ours, expected, factor);
    if (permuted) opened = std::make_unique<Unpermuted>(std::move(opened), shape_.head_dim);
    model_.tensors.push_back(std::move(opened));
  }

  void take_divisors() {
    std::optional<GgufTensor> tensor = pull("rope_freqs.weight");
    if (!tensor) return;
    Expected pairs{Role::vector, 1, shape_.rope.dims / 2};
    check_shape(*tensor, "rope_freqs.weight", pairs);
    std::vector<f32>& divisors = shape_.rope.divisors;
    divisors.resize(static_cast<size_t>(pairs.cols));
    open(*tensor, "rope_freqs.weight", pairs, 1)->values(0, 1, divisors.data());
    for (f32 divisor : divisors) {
      if (!(divisor > 0) || !std::isfinite(divisor))
        unusable(gguf_.file->path, ": rope_freqs.weight has the value ", divisor);
    }
  }

  const Gguf& gguf_;
  const Family& family_;
  Transformer& shape_;
  Model& model_;
  std::map<std::string, GgufTensor> left_;  // those not taken yet
};

}  // namespace

Model open_gguf(const std::string& path) {
  const Gguf gguf = read_gguf(path);
  refuse_parts(gguf);
  const Family& family = family_of(gguf);
  Model model;
  Transformer shape = read_shape(gguf, family, &model.notes);
  read_token_ids(gguf, &shape);
  Loader(gguf, family, &shape, &model).load();
  model.bitnet = family.bitnet || model.i2s;
  model.plain_floats = true;
  if (gguf.metadata.contains("tokenizer.ggml.model")) model.tokenizer = path;
  complete(shape, path, &model);
  return model;
}

}  // namespace edgellm::convert
