#include "convert/source/random.h"

#include <cmath>

#include "base/checksum.h"

namespace edgellm::convert {
namespace {

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

// Sums of four random bytes: near enough to a normal distribution.
class RandomFloats : public Tensor {
 public:
  RandomFloats(const std::string& tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, f32 mean, f32 deviation)
      : Tensor(tensor_name, tensor_role, tensor_rows, tensor_cols), seed_(seed_of(name)), mean_(mean),
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

class RandomTernary : public TernaryTensor {
 public:
  RandomTernary(const std::string& tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, f32 scale)
      : TernaryTensor(tensor_name, tensor_role, tensor_rows, tensor_cols), seed_(seed_of(name)), scale_(scale) {}

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::tensor, scale_}; }

  // 32 weights come from one random word.
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

}  // namespace

std::unique_ptr<Tensor> random_floats(const std::string& name, Role role, i64 rows, i64 cols, f32 mean, f32 deviation) {
  return std::make_unique<RandomFloats>(name, role, rows, cols, mean, deviation);
}

std::unique_ptr<Tensor> random_ternary(const std::string& name, Role role, i64 rows, i64 cols, f32 scale) {
  return std::make_unique<RandomTernary>(name, role, rows, cols, scale);
}

}  // namespace edgellm::convert
