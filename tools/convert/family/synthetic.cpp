// Models of a given shape with seeded random weights: how fast a model would be, before downloading it. Every weight is a
// function of its tensor's name and its place, so any row can be made at any time.
#include <cmath>

#include "base/checksum.h"
#include "convert/family/mamba.h"
#include "convert/family/rwkv.h"
#include "convert/family/source.h"
#include "convert/family/synthetic.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

constexpr const char* PREFIX = "synthetic:";

struct Shape {
  const char* name;
  i64 layers, dim, ffn_dim, heads, kv_heads, head_dim, vocab, context;
  bool bitnet;  // ternary matrices, sub-norms, squared ReLU
  f64 theta;
};

constexpr Shape SHAPES[] = {
    {"tiny", 2, 64, 176, 4, 2, 16, 300, 256, true, 10000},
    {"bitnet-2b4t", 30, 2560, 6912, 20, 5, 128, 128256, 4096, true, 500000},
    {"smollm-135m", 30, 576, 1536, 9, 3, 64, 49152, 2048, false, 10000},
};

// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) as a function of seed and counter.
u64 random_bits(u64 seed, u64 counter) {
  u64 x = seed + (counter + 1) * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

u64 seed_of(const std::string& name) {
  return checksum(name.data(), static_cast<i64>(name.size()));
}

class RandomTernary : public Tensor {
 public:
  RandomTernary(std::string tensor_name, const Expected& e, f32 scale)
      : Tensor(std::move(tensor_name), *e.role, e.rows, e.cols), seed_(seed_of(name)), scale_(scale) {}

  void values(i64 row, i64 count, f32* out) const override {
    std::vector<i8> ternary_codes(static_cast<size_t>(count * cols));
    codes(row, count, ternary_codes.data(), nullptr);
    for (size_t i = 0; i < ternary_codes.size(); i++)
      out[i] = scale_ * static_cast<f32>(ternary_codes[i]);
  }

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::tensor, scale_}; }

  // Half of the weights are 0, a quarter each -1 and +1; 32 weights come from one random word.
  void codes(i64 row, i64 count, i8* out, f32*) const override {
    const i64 words = div_up<i64>(cols, 32);
    for (i64 r = row; r < row + count; r++) {
      for (i64 c = 0; c < cols; c += 32) {
        u64 bits = random_bits(seed_, static_cast<u64>(r * words + c / 32));
        for (i64 i = 0; i < min<i64>(32, cols - c); i++)
          *out++ = static_cast<i8>((bits >> 2 * i & 1) - (bits >> (2 * i + 1) & 1));
      }
    }
  }

 private:
  u64 seed_;
  f32 scale_;
};

// Sums of four random bytes: near enough to a normal distribution.
class RandomFloat : public Tensor {
 public:
  RandomFloat(std::string tensor_name, const Expected& e, f32 mean, f32 deviation)
      : RandomFloat(std::move(tensor_name), *e.role, e.rows, e.cols, mean, deviation) {}
  RandomFloat(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, f32 mean, f32 deviation)
      : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols),
        seed_(seed_of(name)),
        mean_(mean),
        factor_(deviation / std::sqrt(4.0f * (256 * 256 - 1) / 12)) {}

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 i = row * cols; i < (row + count) * cols; i++) {
      u64 bits = random_bits(seed_, static_cast<u64>(i / 2)) >> (i % 2 * 32);
      i32 sum = static_cast<i32>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24 & 255)) - 510;
      *out++ = mean_ + factor_ * static_cast<f32>(sum);
    }
  }

 private:
  u64 seed_;
  f32 mean_, factor_;
};

// Matrices keep the size of what they are given; those that write to the residual stream share one layer's worth. Logits
// come out with a deviation of about 3.
std::unique_ptr<Tensor> make(const Shape& shape, const Transformer& t, const std::string& name) {
  Expected e = expected_of(t, name);
  if (*e.role == Role::vector) return std::make_unique<RandomFloat>(name, e, 1.0f, 0.1f);
  if (*e.role == Role::embedding)
    return std::make_unique<RandomFloat>(name, e, 0.0f, 3 / std::sqrt(static_cast<f32>(t.dim)));
  f32 deviation = 1 / std::sqrt(static_cast<f32>(e.cols));
  if (name.ends_with(".o") || name.ends_with(".down")) deviation /= std::sqrt(2 * static_cast<f32>(t.layers));
  if (!shape.bitnet) return std::make_unique<RandomFloat>(name, e, 0.0f, deviation);
  return std::make_unique<RandomTernary>(name, e, deviation * std::sqrt(2.0f));
}

const Shape& find_shape(const std::string& name) {
  std::string known;
  for (const Shape& shape : SHAPES) {
    if (name == shape.name) return shape;
    known += text(known.empty() ? "" : ", ", shape.name);
  }
  for (const NamedRwkv& rwkv : SYNTHETIC_RWKV)
    known += text(", ", rwkv.name);
  for (const NamedMamba& mamba : SYNTHETIC_MAMBA)
    known += text(", ", mamba.name);
  wrong_usage(PREFIX, name, ": expected one of ", known);
}

}  // namespace

bool is_synthetic(const std::string& source) {
  return source.starts_with(PREFIX);
}

std::unique_ptr<Tensor> random_tensor(const std::string& name, Role role, i64 rows, i64 cols, f32 mean, f32 deviation) {
  return std::make_unique<RandomFloat>(name, role, rows, cols, mean, deviation);
}

Model open_synthetic(const std::string& source) {
  const std::string wanted = source.substr(std::string(PREFIX).size());
  for (const NamedRwkv& rwkv : SYNTHETIC_RWKV) {
    if (wanted == rwkv.name) return random_model(rwkv_family(rwkv.shape));
  }
  for (const NamedMamba& mamba : SYNTHETIC_MAMBA) {
    if (wanted == mamba.name) return random_model(mamba_family(mamba.shape));
  }
  const Shape& shape = find_shape(wanted);
  Transformer t;
  t.layers = shape.layers, t.dim = shape.dim, t.ffn_dim = shape.ffn_dim;
  t.heads = shape.heads, t.kv_heads = shape.kv_heads, t.head_dim = shape.head_dim;
  t.vocab = shape.vocab, t.context = shape.context;
  t.relu2 = shape.bitnet;
  t.rope.theta = shape.theta;
  Model model;
  model.kind = "random weights";
  model.bitnet = shape.bitnet;
  model.byte_tokenizer = true;
  model.tensors.push_back(make(shape, t, "embed"));
  for (i64 layer = 0; layer < t.layers; layer++) {
    for (const char* name :
         {"attn_norm", "q", "k", "v", "attn_sub_norm", "o", "ffn_norm", "gate", "up", "ffn_sub_norm", "down"}) {
      bool sub_norm = std::string(name).ends_with("sub_norm");
      if (!sub_norm || shape.bitnet) model.tensors.push_back(make(shape, t, layer_name(layer, name)));
    }
  }
  model.tensors.push_back(make(shape, t, "norm"));
  complete(t, source, &model);
  return model;
}

}  // namespace edgellm::convert
