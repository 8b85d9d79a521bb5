// What every source is turned into: metadata and named tensors whose values are produced a few rows at a time, so that no
// model has to fit in memory.
#pragma once
#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/types.h"
#include "convert/base/json.h"
#include "convert/base/mapped_file.h"
#include "kernels.h"

namespace edgellm::convert {

enum class Role {
  vector,     // stays f32: norms, biases, frequencies
  matrix,     // --weights
  narrow,     // matrix of low rank, small but sensitive: i8, or what --weights says of floats
  embedding,  // --embed
  head,       // --head
};

// The weights are scale * {-1, 0, 1}, with one scale for all, one a row, or one for every WEIGHT_GROUP columns of a row.
struct Ternary {
  enum class Per { tensor, row, group };
  Per per;
  f32 scale = 0;  // of the tensor; unused otherwise
};

class Tensor {
 public:
  Tensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols)
      : name(std::move(tensor_name)), role(tensor_role), rows(tensor_rows), cols(tensor_cols) {}
  virtual ~Tensor() = default;

  const std::string name;  // docs/FILE.md
  const Role role;
  const i64 rows, cols;  // a vector is one row
  std::string origin;    // the source's name of it; empty where its values are not the source's own

  // Rows [row, row + count) as f32: out is (count, cols).
  virtual void values(i64 row, i64 count, f32* out) const = 0;

  // Ternary by nature: then `codes` gives {-1, 0, 1} as (count, cols), and the scales as (count) for `row`,
  // (count, ceil(cols / WEIGHT_GROUP)) for `group`, none for `tensor`.
  virtual std::optional<Ternary> ternary() const { return std::nullopt; }
  virtual void codes(i64 /*row*/, i64 /*count*/, i8* /*out*/, f32* /*scales*/) const {}

  // Quantised by nature in a way that this format suits best. I4 is exact: `i4` gives codes in [-8, 7] as (count, cols) and f16
  // scales as (count, ceil(cols / GROUP)).
  virtual std::optional<Format> native() const { return std::nullopt; }
  virtual void i4(i64 /*row*/, i64 /*count*/, i8* /*codes*/, u16* /*scales*/) const {}
};

// One that is stored as codes, with a scale for all or one a row: its values are their products.
class TernaryTensor : public Tensor {
 public:
  using Tensor::Tensor;
  void values(i64 row, i64 count, f32* out) const override;
};

using Tensors = std::vector<std::unique_ptr<Tensor>>;

using MetadataValue = std::variant<u32, f32, std::string, std::vector<u32>, std::vector<f32>>;
using Metadata = std::vector<std::pair<std::string, MetadataValue>>;

enum class I2sLayout { x86, arm };  // see gguf_blocks.h

struct Model {
  std::string kind;        // of source, for people: "llama2.c checkpoint"
  Metadata metadata;       // of the family: all but name, source, and what follows
  i64 vocab = 0;           // ids
  std::optional<u32> bos;  // id put before a prompt
  std::vector<u32> stop;   // ids that end generation
  std::shared_ptr<const Json>
      config;                    // config.json of its folder, which says something of the tokenizer too; null: there is none
  std::string tokenizer;         // the source's own: a file that build_tokenizer_section takes; empty: none found
  bool byte_tokenizer = false;   // token i is the byte i
  Tensors tensors;               // in the order in which a forward pass reads them
  bool bitnet = false;           // trained with ternary matrices and int8 activations, one scale a token: float matrices
                                 // that are not ternary are master weights
  bool plain_floats = false;     // of such a model, whose reference computes with its floats as they are: so they are kept
                                 // in a format that is not ternary
  std::set<std::string> floats;  // names of its matrices that are no such thing
  std::shared_ptr<I2sLayout> i2s;  // of its I2_S tensors, which see it change; null: it has none
  std::vector<std::string> notes;  // what the user should know
};

enum class Dtype { F32, F16, BF16, U8, I8, other };

i64 dtype_bytes(Dtype dtype);

// "24 x 8", for people.
std::string shape_text(const std::vector<u64>& shape);

// Throw, naming the source, what a model file does not hold (file/limits.h): a size that is not 1 to `most`, and an epsilon that is
// not 0 to MAX_NORM_EPS or too small for an f32.
void check_size(const char* name, i64 value, i64 most, const std::string& source);
void check_epsilon(const char* name, f64 value, const std::string& source);

// A tensor of floats in a mapped file, row-major; `factor` multiplies every value.
class FloatTensor : public Tensor {
 public:
  // `data` holds exactly rows * cols values and lies in `file`. Throws when it does not, or the dtype is not a float.
  FloatTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
              Dtype dtype, f32 factor = 1);
  void values(i64 row, i64 count, f32* out) const override;

 private:
  File file_;
  Bytes data_;
  Dtype dtype_;
  f32 factor_;
};

// A tensor that was computed, kept in memory.
class ComputedTensor : public Tensor {
 public:
  ComputedTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, std::vector<f32> computed)
      : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), values_(std::move(computed)) {}
  void values(i64 row, i64 count, f32* out) const override;

 private:
  std::vector<f32> values_;  // (rows, cols)
};

}  // namespace edgellm::convert
