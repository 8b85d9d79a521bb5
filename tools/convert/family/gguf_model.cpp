// GGUF models of the transformer family. Keys and tensor names are those of llama.cpp (ggml-org/llama.cpp,
// gguf-py/gguf/constants.py).
#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>

#include "convert/family/hf_fields.h"
#include "convert/family/open.h"
#include "convert/family/transformer.h"
#include "convert/source/gguf.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

struct Architecture {
  const char* name;
  bool permuted = false;  // rows of q and k lie so that rotary pairs are neighbours
  bool bitnet = false;
  Gate gate = Gate::silu;
  Norm norm = Norm::rms;
  bool parallel = false;  // the feed-forward is beside attention
};

constexpr Architecture ARCHITECTURES[] = {
    {.name = "llama", .permuted = true},
    {.name = "qwen2"},
    {.name = "qwen3"},
    {.name = "bitnet", .bitnet = true},
    {.name = "bitnet-25", .bitnet = true, .gate = Gate::relu2},
    {.name = "bitnet-b1.58", .bitnet = true, .gate = Gate::relu2},
    {.name = "phi2", .gate = Gate::gelu, .norm = Norm::layer, .parallel = true},
};

// Those that are read from what their authors publish.
constexpr struct {
  const char *name, *source;
} ELSEWHERE[] = {
    {"rwkv7", "the author's .pth or .safetensors file (--tokenizer takes this file's vocabulary)"},
    {"mamba", "the Hugging Face folder"},
    {"mamba2", "the Hugging Face folder"},
};

// Rows i and i + half of every head, which are 2i and 2i + 1 in `permuted`.
class Unpermuted : public Tensor {
 public:
  Unpermuted(std::unique_ptr<Tensor> permuted, i64 head_dim)
      : Tensor(permuted->name, permuted->role, permuted->rows, permuted->cols), permuted_(std::move(permuted)),
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

const Architecture& architecture_of(const Gguf& gguf) {
  const std::string name = gguf.string("general.architecture").value_or("");
  for (const Architecture& one : ARCHITECTURES) {
    if (name == one.name) return one;
  }
  for (const auto& one : ELSEWHERE) {
    if (name == one.name)
      unusable(gguf.file->path, ": general.architecture is \"", name, "\", which is not read from GGUF: give ", one.source);
  }
  unusable(gguf.file->path, ": general.architecture is \"", name, "\", which is not supported (", list_text(gguf_families()),
           ")");
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
void check_keys(const Gguf& gguf, const Architecture& architecture, std::vector<std::string>* notes) {
  const std::string prefix = text(architecture.name, ".");
  Json::Object own;
  for (const auto& [key, value] : gguf.metadata) {
    if (key.starts_with(prefix)) own.emplace_back(key.substr(prefix.size()), as_json(gguf, key, value));
  }
  complete_config(Json(std::move(own)), text(gguf.file->path, ": ", architecture.name), config_class("GGUF"), notes);
}

Transformer read_shape(const Gguf& gguf, const Architecture& architecture, std::vector<std::string>* notes) {
  check_keys(gguf, architecture, notes);
  Keys keys(gguf, architecture.name);
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
  t.norm = architecture.norm;
  t.norm_eps = keys.number(t.norm == Norm::layer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon")
                   .value_or(1e-5);
  t.gate = architecture.gate;
  t.parallel = architecture.parallel;
  read_rope(gguf, keys, &t);
  if (architecture.permuted && t.rope.dims != t.head_dim) {
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
    const i64 stop = id(name);
    if (stop < 0 || stop >= t->vocab || std::find(t->stop.begin(), t->stop.end(), stop) != t->stop.end()) continue;
    t->stop.push_back(static_cast<u32>(stop));
  }
}

class Loader {
 public:
  Loader(const Gguf& gguf, const Transformer& shape, bool permuted)
      : path_(gguf.file->path), file_(gguf.file), shape_(shape), permuted_(permuted), left_(gguf.tensors) {}

  Model load() {
    take_divisors();
    for (i64 layer = 0; layer < shape_.layers; layer++) {
      for (const char* kind : {".weight", ".bias"})
        split_qkv(text("blk.", layer, ".attn_"), kind);
    }
    ModelTable table = transformer_family(shape_, path_);
    if (shape_.norm == Norm::layer) move_biases_back(&table.parts);
    Model model = take_parts(
        table, {Naming::gguf, path_}, &left_,
        [this](const Part& part, const std::string& name, const GgufTensor& tensor) { return open(part, name, tensor); });
    model.i2s = i2s_;
    return model;
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
    const std::string name = prefix + "qkv" + kind;
    std::optional<GgufTensor> all = pull(name);
    if (!all) return;
    const u64 q = static_cast<u64>(shape_.heads * shape_.head_dim), kv = static_cast<u64>(shape_.kv_heads * shape_.head_dim);
    if (all->format->id == GGML_I2_S) unusable(path_, ": tensor ", name, " is I2_S, with one scale for all three");
    if (all->shape.empty() || all->shape[0] != q + 2 * kv) {
      unusable(path_, ": tensor ", name, " has ", all->shape.empty() ? 0 : all->shape[0], " rows, expected ", q + 2 * kv);
    }
    const u64 row_bytes = all->data.size / (q + 2 * kv);
    u64 row = 0;
    for (auto [part, rows] : {std::pair{"q", q}, {"k", kv}, {"v", kv}}) {
      GgufTensor own = *all;
      own.shape[0] = rows;
      own.data = {all->data.data + row * row_bytes, rows * row_bytes};
      if (!left_.emplace(prefix + part + kind, std::move(own)).second) {
        unusable(path_, ": tensor ", prefix, part, kind, " is there beside ", name);
      }
      row += rows;
    }
  }

  // What the frequencies of the rotary embedding are divided by.
  void take_divisors() {
    const std::string name = "rope_freqs.weight";
    std::optional<GgufTensor> tensor = pull(name);
    if (!tensor) return;
    shape_.rope.divisors = vector(*tensor, name, shape_.rope.dims / 2);
    for (f32 divisor : shape_.rope.divisors) {
      if (!(divisor > 0) || !std::isfinite(divisor)) unusable(path_, ": ", name, " has the value ", divisor);
    }
  }

  std::vector<f32> vector(const GgufTensor& tensor, const std::string& name, i64 n) {
    const Part part{name, name, Role::vector, 1, n};
    check_shape(tensor, name, part);
    std::vector<f32> values(static_cast<size_t>(n));
    blocks(part, tensor, 1)->values(0, 1, values.data());
    return values;
  }

  void check_shape(const GgufTensor& tensor, const std::string& name, const Part& part) const {
    std::vector<u64> shape = tensor.shape;
    while (shape.size() < 2)
      shape.insert(shape.begin(), 1);
    if (shape == std::vector<u64>{static_cast<u64>(part.rows), static_cast<u64>(part.cols)}) return;
    unusable(path_, ": tensor ", name, " is ", shape_text(tensor.shape), ", expected ", part.rows, " x ", part.cols);
  }

  // One value that the whole matrix is multiplied by.
  f32 scale_beside(const std::string& matrix) {
    if (!matrix.ends_with(".weight")) return 1;
    const std::string name = matrix.substr(0, matrix.size() - 6) + "scale";
    std::optional<GgufTensor> tensor = pull(name);
    if (!tensor) return 1;
    const f32 scale = vector(*tensor, name, 1)[0];
    if (!(scale > 0) || !std::isfinite(scale)) unusable(path_, ": tensor ", name, " is ", scale);
    return scale;
  }

  std::unique_ptr<Tensor> blocks(const Part& part, const GgufTensor& tensor, f32 factor) {
    const BlockFormat& format = *tensor.format;
    if (format.id == GGML_I2_S) {
      if (!i2s_) i2s_ = std::make_shared<I2sLayout>();
      return std::make_unique<I2sTensor>(part.ours, part.role, part.rows, part.cols, file_, tensor.data, i2s_, factor);
    }
    if (format.decode) {
      return std::make_unique<BlockTensor>(part.ours, part.role, part.rows, part.cols, file_, tensor.data, format, factor);
    }
    return std::make_unique<FloatTensor>(part.ours, part.role, part.rows, part.cols, file_, tensor.data, format.dtype,
                                         factor);
  }

  std::unique_ptr<Tensor> open(const Part& part, const std::string& name, const GgufTensor& tensor) {
    check_shape(tensor, name, part);
    std::unique_ptr<Tensor> opened = blocks(part, tensor, part.role == Role::matrix ? scale_beside(name) : 1);
    if (!permuted_ || !part.rotary) return opened;
    return std::make_unique<Unpermuted>(std::move(opened), shape_.head_dim);
  }

  // Files made of phi2 have these last in a layer.
  static void move_biases_back(std::vector<Part>* parts) {
    auto layer_of = [](const Part& part) { return part.ours.substr(0, part.ours.rfind('.') + 1); };
    auto stays = [](const Part& part) {
      return !part.ours.ends_with("attn_norm_bias") && !part.ours.ends_with("up_bias") && !part.ours.ends_with("down_bias");
    };
    std::vector<Part> ordered;
    for (auto begin = parts->begin(), end = begin; begin != parts->end(); begin = end) {
      end = std::find_if(begin, parts->end(), [&](const Part& part) { return layer_of(part) != layer_of(*begin); });
      std::copy_if(begin, end, std::back_inserter(ordered), stays);
      std::copy_if(begin, end, std::back_inserter(ordered), std::not_fn(stays));
    }
    *parts = std::move(ordered);
  }

  const std::string path_;
  const File file_;
  Transformer shape_;
  const bool permuted_;
  std::shared_ptr<I2sLayout> i2s_;
  std::map<std::string, GgufTensor> left_;  // those not taken yet
};

}  // namespace

bool is_gguf(const Source& source) {
  return is_gguf(source.head());
}

std::vector<std::string> gguf_families() {
  std::vector<std::string> names;
  for (const Architecture& one : ARCHITECTURES)
    names.push_back(one.name);
  return names;
}

Model open_gguf(const Source& source) {
  const Gguf gguf = read_gguf(source.path);
  refuse_parts(gguf);
  const Architecture& architecture = architecture_of(gguf);
  std::vector<std::string> notes;
  Transformer shape = read_shape(gguf, architecture, &notes);
  read_token_ids(gguf, &shape);
  Model model = Loader(gguf, shape, architecture.permuted).load();
  model.notes.insert(model.notes.begin(), notes.begin(), notes.end());
  model.bitnet = architecture.bitnet || model.i2s;
  model.plain_floats = true;
  if (gguf.metadata.contains("tokenizer.ggml.model")) model.tokenizer = source.path;
  return model;
}

}  // namespace edgellm::convert
