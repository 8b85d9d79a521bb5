#include "make_model.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

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

TensorData make_frequencies(i32 pairs) {
  TensorData tensor;
  tensor.spec = {"rope.inv_freq", {static_cast<u32>(pairs)}, Format::F32, Scale::none, Quantization::none};
  std::vector<f32> values;
  for (f32 f = 1; static_cast<i32>(values.size()) < pairs; f *= 0.5f)
    values.push_back(f);
  const u8* bytes = reinterpret_cast<const u8*>(values.data());
  tensor.data.assign(bytes, bytes + values.size() * sizeof(f32));
  return tensor;
}

std::vector<TensorData> make_tensors(const ModelRecipe& r, u64 seed) {
  Random random = {seed};
  std::vector<TensorData> tensors;
  auto matrix = [&](const std::string& name, i64 rows, i64 cols) {
    tensors.push_back(make_matrix(random, name, rows, cols, r.matrices, r.scale, r.activations, r.zeros));
  };
  auto vector = [&](const std::string& name, i64 count, f32 centre) {
    tensors.push_back(make_vector(random, name, count, centre, 0.4f));
  };
  auto table = [&](const std::string& name) {
    bool floats = r.embedding == Format::F32 || r.embedding == Format::F16;
    tensors.push_back(make_matrix(random, name, r.vocab, r.dim, r.embedding,
                                  r.embedding == Format::I8 ? Scale::row : Scale::none,
                                  floats ? Quantization::none : Quantization::group32));
  };
  i64 q_dim = r.heads * r.head_dim, kv_dim = r.kv_heads * r.head_dim;
  table("embed");
  if (!r.tied) table("head");
  vector("norm", r.dim, 1);
  if (r.phi) vector("norm_bias", r.dim, 0), vector("head_bias", r.vocab, 0);
  tensors.push_back(make_frequencies(r.head_dim / 2));
  for (i32 i = 0; i < r.layers; i++) {
    std::string at = "layers." + std::to_string(i) + ".";
    if (r.layer_norms) vector(at + "attn_norm", r.dim, 1);
    matrix(at + "q", q_dim, r.dim);
    matrix(at + "k", kv_dim, r.dim);
    matrix(at + "v", kv_dim, r.dim);
    if (r.biases) {
      vector(at + "q_bias", q_dim, 0);
      vector(at + "k_bias", kv_dim, 0);
      vector(at + "v_bias", kv_dim, 0);
      vector(at + "o_bias", r.dim, 0);
    }
    if (r.head_norms) {
      vector(at + "q_norm", r.head_dim, 1);
      vector(at + "k_norm", r.head_dim, 1);
    }
    if (r.sub_norms) vector(at + "attn_sub_norm", q_dim, 1);
    matrix(at + "o", r.dim, q_dim);
    if (r.layer_norms && !r.phi) vector(at + "ffn_norm", r.dim, 1);
    if (r.phi) {
      vector(at + "attn_norm_bias", r.dim, 0);
      vector(at + "up_bias", r.ffn_dim, 0);
      vector(at + "down_bias", r.dim, 0);
    } else {
      matrix(at + "gate", r.ffn_dim, r.dim);
    }
    matrix(at + "up", r.ffn_dim, r.dim);
    if (r.sub_norms) vector(at + "ffn_sub_norm", r.ffn_dim, 1);
    matrix(at + "down", r.dim, r.ffn_dim);
  }
  return tensors;
}

convert::Metadata make_metadata(const ModelRecipe& r) {
  auto number = [](i32 value) { return static_cast<u32>(value); };
  return {{"arch", std::string("transformer")},
          {"layers", number(r.layers)},
          {"dim", number(r.dim)},
          {"ffn_dim", number(r.ffn_dim)},
          {"heads", number(r.heads)},
          {"kv_heads", number(r.kv_heads)},
          {"head_dim", number(r.head_dim)},
          {"vocab", number(r.vocab)},
          {"context", number(r.context)},
          {"norm", std::string(r.layer_norm_kind ? "layer" : "rms")},
          {"norm_eps", 1e-5f},
          {"unit_norms", number(!r.layer_norms)},
          {"gate", std::string(r.phi     ? "gelu"
                               : r.relu2 ? "relu2"
                                         : "silu")},
          {"parallel", number(r.phi)},
          {"window", number(r.window)},
          {"rope", std::string(r.interleaved ? "interleaved" : "half")},
          {"bos", 1u},
          {"stop", std::vector<u32>{2}}};
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
  writer.begin(metadata, specs, {});
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

std::vector<u8> read_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
