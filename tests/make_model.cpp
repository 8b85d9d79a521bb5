#include "make_model.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

#include "base/math.h"
#include "base/random.h"
#include "convert/output/writer.h"
#include "sparse_matrix.h"

using namespace edgellm;

namespace {

// Values that follow each other in one sequence, whatever tensor they go to.
struct Random {
  u64 seed;
  u64 index = 0;

  f32 unit() { return static_cast<f32>(random_unit(seed, index++)); }
  f32 around(f32 centre, f32 spread) { return centre + spread * (unit() - 0.5f); }
  i8 code(i32 low, i32 high) {
    return static_cast<i8>(low + static_cast<i32>(random_bits(seed, index++) % static_cast<u64>(high - low + 1)));
  }
};

struct TensorData {
  convert::TensorSpec spec;
  std::vector<u8> data;
  std::vector<f32> scales;
};

std::vector<u16> halves(Random& random, size_t count, f32 scale) {
  std::vector<u16> values(count);
  for (u16& value : values)
    value = f32_to_f16(random.around(scale, scale));
  return values;
}

TensorData make_matrix(Random& random, const std::string& name, i64 rows, i64 cols, Format format, Scale scale,
                       Quantization activations, i32 zeros = 0) {
  TensorData tensor;
  f32 typical = 1.5f / static_cast<f32>(__builtin_sqrt(static_cast<double>(cols)));
  tensor.spec = {name, {static_cast<u32>(rows), static_cast<u32>(cols)}, format, scale, activations};
  if (!sparse(format)) tensor.data.resize(static_cast<size_t>(matrix_bytes(format, rows, cols)));
  size_t n = static_cast<size_t>(rows * cols);
  std::vector<i8> codes(n);
  std::vector<f32> values(n);
  i32 largest = format == Format::I8 || sparse(format) ? 127 : format == Format::I4 ? 7 : 1;
  for (i8& code : codes)
    code = random.code(-largest, largest);
  for (i8& code : codes) {
    if (zeros && random.code(0, 99) < zeros) code = 0;
  }
  for (f32& value : values)
    value = random.around(0, 2 * typical);
  switch (format) {
    case Format::F32:
      pack_f32(values.data(), rows, cols, tensor.data.data());
      break;
    case Format::F16: {
      std::vector<u16> bits(n);
      for (size_t i = 0; i < n; i++)
        bits[i] = f32_to_f16(values[i]);
      pack_f16(bits.data(), rows, cols, tensor.data.data());
      break;
    }
    case Format::I8:
      pack_i8(codes.data(), rows, cols, tensor.data.data());
      break;
    case Format::I4:
      pack_i4(codes.data(), halves(random, static_cast<size_t>(rows * ((cols + 31) / 32)), typical / 4).data(), rows, cols,
              tensor.data.data());
      break;
    case Format::T2:
      pack_t2(codes.data(), rows, cols, tensor.data.data());
      break;
    case Format::T2_GROUP:
      pack_t2_group(codes.data(), halves(random, static_cast<size_t>(rows * ((cols + 127) / 128)), typical).data(), rows,
                    cols, tensor.data.data());
      break;
    case Format::I8_MASK:
    case Format::I8_GROUP: {
      SparseMatrix packed = pack_sparse(format, codes.data(), rows, cols);
      tensor.spec.places = std::move(packed.places);
      tensor.data = std::move(packed.data);
      break;
    }
    case Format::T5:
      pack_t5(codes.data(), rows, cols, tensor.data.data());
      break;
  }
  tensor.scales.resize(static_cast<size_t>(scale_count(scale, rows)));
  for (f32& s : tensor.scales)
    s = random.around(typical, typical / 2) / static_cast<f32>(largest);
  return tensor;
}

TensorData make_vector(Random& random, const std::string& name, i64 count, f32 centre, f32 spread) {
  TensorData tensor;
  tensor.spec = {name, {static_cast<u32>(count)}, Format::F32, Scale::none, Quantization::none};
  std::vector<f32> values(static_cast<size_t>(count));
  for (f32& value : values)
    value = random.around(centre, spread);
  const u8* bytes = reinterpret_cast<const u8*>(values.data());
  tensor.data.assign(bytes, bytes + values.size() * sizeof(f32));
  return tensor;
}

TensorData make_frequencies(i32 pairs, i32 table) {
  TensorData tensor;
  tensor.spec = {table ? "rope.inv_freq." + std::to_string(table) : "rope.inv_freq",
                 {static_cast<u32>(pairs)},
                 Format::F32,
                 Scale::none,
                 Quantization::none};
  std::vector<f32> values;
  for (f32 f = std::ldexp(1.0f, -table); static_cast<i32>(values.size()) < pairs; f *= 0.5f)
    values.push_back(f);
  const u8* bytes = reinterpret_cast<const u8*>(values.data());
  tensor.data.assign(bytes, bytes + values.size() * sizeof(f32));
  return tensor;
}

// The tensors of a recipe, one after the other.
class Tensors {
 public:
  Tensors(const ModelRecipe& recipe, u64 seed) : r_(recipe), random_{seed} {}

  // Embedding, head and last norm.
  void ends() {
    table("embed");
    if (!r_.tied) table("head");
    vector("norm", r_.dim, 1);
    if (r_.phi) vector("norm_bias", r_.dim, 0), vector("head_bias", r_.vocab, 0);
  }

  void block(const std::string& kind, i32 layer) {
    layer_ = layer;
    if (kind == "attention") frequencies(r_.head_dim[layer] / 2);
    if (kind == "retention") frequencies(r_.dim / r_.heads[layer] / 2), decays();
    prefix_ = "layers." + std::to_string(layer) + ".";
    if (kind == "attention") return attention();
    if (kind == "ffn") return ffn();
    if (kind == "mamba") return mamba();
    if (kind == "mamba2") return mamba2();
    if (kind == "retention") return retention();
    throw std::invalid_argument("no tensors are known of the block kind " + kind);
  }

  std::vector<TensorData> take() { return std::move(list_); }

 private:
  // Of all layers alike, before the first that needs them.
  void frequencies(i32 pairs) {
    for (i32 table = has("rope.inv_freq") ? r_.rope_tables : 0; table < r_.rope_tables; table++)
      list_.push_back(make_frequencies(pairs, table));
  }
  void decays() {
    prefix_.clear();
    if (!has("decay")) vector("decay", r_.heads[layer_], 0.75f);
  }

  void attention() {
    const i64 q_dim = r_.heads[layer_] * r_.head_dim[layer_], kv_dim = r_.kv_heads[layer_] * r_.head_dim[layer_];
    if (r_.layer_norms) vector("attn_norm", r_.dim, 1);
    matrix("q", q_dim, r_.dim);
    matrix("k", kv_dim, r_.dim);
    matrix("v", kv_dim, r_.dim);
    if (r_.biases) {
      vector("q_bias", q_dim, 0);
      vector("k_bias", kv_dim, 0);
      vector("v_bias", kv_dim, 0);
      vector("o_bias", r_.dim, 0);
    }
    if (r_.head_norms) {
      vector("q_norm", r_.head_dim[layer_], 1);
      vector("k_norm", r_.head_dim[layer_], 1);
    }
    if (r_.sub_norms) vector("attn_sub_norm", q_dim, 1);
    matrix("o", r_.dim, q_dim);
  }

  void ffn() {
    const i64 width = r_.ffn_dim[layer_];
    if (r_.layer_norms && !r_.phi) vector("ffn_norm", r_.dim, 1);
    if (r_.phi) {
      vector("attn_norm_bias", r_.dim, 0);
      vector("up_bias", width, 0);
      vector("down_bias", r_.dim, 0);
    } else {
      matrix("gate", width, r_.dim);
    }
    matrix("up", width, r_.dim);
    if (r_.sub_norms) vector("ffn_sub_norm", width, 1);
    matrix("down", r_.dim, width);
  }

  void mamba() {
    vector("norm", r_.dim, 1);
    matrix("in", 2 * r_.inner, r_.dim);
    vector("conv", r_.taps * r_.inner, 0);
    vector("conv_bias", r_.inner, 0);
    matrix("select", r_.rank + 2 * r_.states, r_.inner);
    matrix("dt", r_.inner, r_.rank);
    vector("dt_bias", r_.inner, -3);
    vector("rate", r_.states * r_.inner, -0.3f);
    vector("skip", r_.inner, 1);
    matrix("out", r_.dim, r_.inner);
  }

  void mamba2() {
    const i64 heads = r_.mamba2_heads ? r_.mamba2_heads : r_.heads[layer_];
    const i64 inner = heads * (r_.mamba2_head_dim ? r_.mamba2_head_dim : r_.head_dim[layer_]);
    const i64 convolved = inner + 2 * r_.groups * r_.states;
    vector("norm", r_.dim, 1);
    matrix("in", inner + convolved + heads, r_.dim);
    vector("conv", r_.taps * convolved, 0);
    vector("conv_bias", convolved, 0);
    vector("dt_bias", heads, -3);
    vector("rate", heads, -0.3f);
    vector("skip", heads, 1);
    vector("gate_norm", inner, 1);
    matrix("out", r_.dim, inner);
  }

  void retention() {
    vector("ret_norm", r_.dim, 1);
    matrix("q", r_.dim, r_.dim);
    matrix("k", r_.dim, r_.dim);
    matrix("v", r_.value_dim, r_.dim);
    matrix("g", r_.value_dim, r_.dim);
    matrix("o", r_.dim, r_.value_dim);
  }

  bool has(const char* name) const {
    return std::any_of(list_.begin(), list_.end(), [&](const TensorData& tensor) { return tensor.spec.name == name; });
  }
  void matrix(const char* name, i64 rows, i64 cols) {
    list_.push_back(make_matrix(random_, prefix_ + name, rows, cols, r_.matrices, r_.scale, r_.activations, r_.zeros));
  }
  void vector(const char* name, i64 count, f32 centre) {
    list_.push_back(make_vector(random_, prefix_ + name, count, centre, 0.4f));
  }
  void table(const char* name) {
    const bool floats = r_.embedding == Format::F32 || r_.embedding == Format::F16;
    list_.push_back(make_matrix(random_, name, r_.vocab, r_.dim, r_.embedding,
                                r_.embedding == Format::I8 ? Scale::row : Scale::none,
                                floats ? Quantization::none : Quantization::group32));
  }

  const ModelRecipe& r_;
  Random random_;
  i32 layer_ = 0;
  std::string prefix_;  // of the names of a layer's tensors
  std::vector<TensorData> list_;
};

// The block kinds of each layer of the pattern.
std::vector<std::vector<std::string>> kinds_of(const std::string& blocks) {
  std::vector<std::vector<std::string>> layers(1);
  std::istringstream words(blocks);
  for (std::string word; words >> word;) {
    if (word == "|") {
      layers.emplace_back();
    } else if (word != "+") {
      layers.back().push_back(word);
    }
  }
  return layers;
}

bool has_kind(const ModelRecipe& recipe, const std::string& kind) {
  for (const std::vector<std::string>& kinds : kinds_of(recipe.blocks)) {
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) return true;
  }
  return false;
}

std::vector<TensorData> make_tensors(const ModelRecipe& recipe, u64 seed) {
  Tensors tensors(recipe, seed);
  tensors.ends();
  const std::vector<std::vector<std::string>> layers = kinds_of(recipe.blocks);
  for (i32 i = 0; i < recipe.layers; i++) {
    for (const std::string& kind : layers[static_cast<size_t>(i) % layers.size()])
      tensors.block(kind, i);
  }
  return tensors.take();
}

// The family that has these blocks in every layer; `stack`, none has.
std::string arch_of(const std::string& blocks) {
  const std::pair<const char*, const char*> families[] = {
      {"attention ffn", "transformer"}, {"mamba", "mamba"}, {"mamba2", "mamba2"}, {"retention ffn", "retnet"}};
  for (const auto& [family, name] : families) {
    if (blocks == family) return name;
  }
  return "stack";
}

convert::Metadata make_metadata(const ModelRecipe& r) {
  auto number = [](i32 value) { return static_cast<u32>(value); };
  const std::string arch = arch_of(r.blocks);
  convert::Metadata metadata = {{"arch", arch},
                                {"layers", number(r.layers)},
                                {"dim", number(r.dim)},
                                {"ffn_dim", r.ffn_dim.value()},
                                {"heads", r.heads.value()},
                                {"kv_heads", r.kv_heads.value()},
                                {"head_dim", r.head_dim.value()},
                                {"vocab", number(r.vocab)},
                                {"context", number(r.context)},
                                {"norm", std::string(r.layer_norm_kind ? "layer" : "rms")},
                                {"norm_eps", 1e-5f},
                                {"unit_norms", number(!r.layer_norms)},
                                {"gate", std::string(r.phi     ? "gelu"
                                                     : r.relu2 ? "relu2"
                                                               : "silu")},
                                {"parallel", number(r.phi)},
                                {"window", r.window.value()},
                                {"rope", std::string(r.interleaved ? "interleaved" : "half")},
                                {"bos", 1u},
                                {"stop", std::vector<u32>{2}}};
  if (arch == "stack") metadata.emplace_back("blocks", r.blocks);
  const bool mamba = has_kind(r, "mamba"), mamba2 = has_kind(r, "mamba2"), retention = has_kind(r, "retention");
  if (mamba) metadata.emplace_back("inner", number(r.inner)), metadata.emplace_back("rank", number(r.rank));
  if (mamba2) metadata.emplace_back("groups", number(r.groups));
  if (r.mamba2_heads) metadata.emplace_back("mamba2.heads", number(r.mamba2_heads));
  if (r.mamba2_head_dim) metadata.emplace_back("mamba2.head_dim", number(r.mamba2_head_dim));
  if (mamba || mamba2) metadata.emplace_back("states", number(r.states)), metadata.emplace_back("taps", number(r.taps));
  if (retention) metadata.emplace_back("value_dim", number(r.value_dim));
  return metadata;
}

}  // namespace

void write_model(const ModelRecipe& recipe, const std::string& path, u64 seed) {
  std::vector<TensorData> tensors = make_tensors(recipe, seed);
  std::vector<convert::TensorSpec> specs;
  for (const TensorData& tensor : tensors)
    specs.push_back(tensor.spec);
  convert::FileWriter writer(path);
  convert::Metadata metadata = make_metadata(recipe);
  if (!recipe.grammar.empty()) metadata.emplace_back("grammar", recipe.grammar);
  for (const auto& entry : recipe.more) {
    std::erase_if(metadata, [&](const auto& other) { return other.first == entry.first; });
    metadata.push_back(entry);
  }
  writer.begin(metadata, specs, recipe.tokenizer);
  for (const TensorData& tensor : tensors) {
    writer.data(tensor.data.data(), tensor.data.size());
    if (!tensor.scales.empty()) writer.scales(tensor.scales.data(), tensor.scales.size());
  }
  writer.finish();
  writer.publish();
}

namespace {

// Removes what the tests left when the program ends.
struct TemporaryFiles {
  std::vector<std::string> paths;
  ~TemporaryFiles() {
    for (const std::string& path : paths)
      std::remove(path.c_str());
  }
};
TemporaryFiles temporary_files;

}  // namespace

std::string temporary_path(const std::string& name) {
  const char* folder = std::getenv("TMPDIR");
  std::string path = std::string(folder ? folder : "/tmp") + "/edgellm_test_" + std::to_string(getpid()) + "_" + name;
  temporary_files.paths.push_back(path);
  return path;
}
