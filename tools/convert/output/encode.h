// Turns a tensor into the bytes of its format, one panel of 16 rows at a time, and says how much was lost.
#pragma once
#include "convert/base/model.h"
#include "convert/output/writer.h"

namespace edgellm::convert {

struct Loss {
  f64 error = 0;         // sum of (stored - original)^2
  f64 signal = 0;        // sum of original^2
  i64 zeros = 0;         // stored weights that are zero
  f64 relative() const;  // root of their quotient

  void add(const f32* stored, const f32* original, i64 n);
};

// Where the panels of the tensor will lie in a sparse format: TensorSpec::places.
std::vector<u32> sparse_places(const Tensor& tensor, Format format);

// Writes the data and scales of `tensor` as `spec` says; `advance` hears of the bytes of data now and then. Throws when a value
// is not finite or does not fit the format.
Loss encode(const Tensor& tensor, const TensorSpec& spec, FileWriter& out, const std::function<void(u64)>& advance);

// The f16 scale and the codes in [-8, 7] that bring `n` values (at most GROUP) nearest to the least squared error.
u16 best_i4(const f32* values, i64 n, i8* codes);

}  // namespace edgellm::convert
