// Magnitude pruning: Han et al., "Learning both Weights and Connections for Efficient Neural Networks", arXiv:1506.02626. Shares by
// the sizes of the layers: Mocanu et al., arXiv:1707.04780, and Evci et al., "Rigging the Lottery", arXiv:1911.11134, section 3: the
// density of a matrix (n, m) is in proportion to (n + m) / (n m); those that would pass 1 are dense and the others share the rest.
#include "convert/change/prune.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace edgellm::convert {
namespace {

// Magnitudes of f32 order as their bits do.
u32 magnitude(f32 value) {
  u32 bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits & 0x7fffffff;
}

template <class Body>
void for_rows(const Tensor& tensor, Body body) {
  std::vector<f32> values(static_cast<size_t>(PANEL * tensor.cols));
  for (i64 row = 0; row < tensor.rows; row += PANEL) {
    const i64 count = min<i64>(PANEL, tensor.rows - row);
    tensor.values(row, count, values.data());
    for (i64 r = 0; r < count; r++)
      body(row + r, &values[static_cast<size_t>(r * tensor.cols)]);
  }
}

class Pruned : public Tensor {
 public:
  // Finds the magnitude below which `zeros` of the weights lie: its upper half by counting all, then its lower half.
  Pruned(std::unique_ptr<Tensor> matrix, i64 zeros)
      : Tensor(matrix->name, matrix->role, matrix->rows, matrix->cols), matrix_(std::move(matrix)) {
    std::vector<i64> counts(1 << 16);
    for_rows(*matrix_, [&](i64, const f32* values) {
      for (i64 c = 0; c < cols; c++)
        counts[magnitude(values[c]) >> 16]++;
    });
    i64 left = zeros;
    const u32 upper = take(counts, &left);
    counts.assign(1 << 16, 0);
    for_rows(*matrix_, [&](i64, const f32* values) {
      for (i64 c = 0; c < cols; c++) {
        if (magnitude(values[c]) >> 16 == upper) counts[magnitude(values[c]) & 0xffff]++;
      }
    });
    threshold_ = upper << 16 | take(counts, &left);
    equal_before_.reserve(static_cast<size_t>(rows));
    i64 equal = 0;
    for_rows(*matrix_, [&](i64, const f32* values) {
      equal_before_.push_back(equal);
      for (i64 c = 0; c < cols; c++)
        equal += magnitude(values[c]) == threshold_;
    });
    equal_zeros_ = left;
  }

  void values(i64 row, i64 count, f32* out) const override {
    matrix_->values(row, count, out);
    for (i64 r = 0; r < count; r++) {
      i64 equal = equal_before_[static_cast<size_t>(row + r)];
      for (i64 c = 0; c < cols; c++, out++) {
        const u32 bits = magnitude(*out);
        if (bits < threshold_ || (bits == threshold_ && equal++ < equal_zeros_)) *out = 0;
      }
    }
  }

 private:
  // The first value that the counts pass `left` with; `left` loses what lies below.
  static u32 take(const std::vector<i64>& counts, i64* left) {
    u32 value = 0;
    while (value + 1 < counts.size() && counts[value] <= *left)
      *left -= counts[value++];
    return value;
  }

  std::unique_ptr<Tensor> matrix_;
  u32 threshold_ = 0;              // magnitudes below become zero
  i64 equal_zeros_ = 0;            // and so many of this magnitude
  std::vector<i64> equal_before_;  // (rows) how many of it are in the rows before
};

}  // namespace

std::vector<i64> zeros_of(f64 sparsity, SparsityLayout layout, const std::vector<std::pair<i64, i64>>& sizes) {
  auto weights = [](const std::pair<i64, i64>& size) { return static_cast<f64>(size.first * size.second); };
  std::vector<f64> densities(sizes.size(), 1 - sparsity);
  if (layout == SparsityLayout::erk) {
    std::vector<bool> dense(sizes.size());
    for (bool changed = true; changed;) {
      changed = false;
      f64 budget = 0, sum = 0;
      for (size_t i = 0; i < sizes.size(); i++) {
        budget += weights(sizes[i]) * (dense[i] ? -sparsity : 1 - sparsity);
        if (!dense[i]) sum += static_cast<f64>(sizes[i].first + sizes[i].second);
      }
      for (size_t i = 0; i < sizes.size(); i++) {
        const f64 share = static_cast<f64>(sizes[i].first + sizes[i].second) / weights(sizes[i]);
        densities[i] = dense[i] ? 1 : budget / sum * share;
        if (densities[i] > 1) dense[i] = changed = true;
      }
    }
  }
  std::vector<i64> zeros;
  for (size_t i = 0; i < sizes.size(); i++)
    zeros.push_back(std::llround((1 - densities[i]) * weights(sizes[i])));
  return zeros;
}

void prune(f64 sparsity, SparsityLayout layout, Model* model) {
  std::vector<std::unique_ptr<Tensor>*> matrices;
  std::vector<std::pair<i64, i64>> sizes;
  for (std::unique_ptr<Tensor>& tensor : model->tensors) {
    if (tensor->role != Role::matrix) continue;
    matrices.push_back(&tensor);
    sizes.emplace_back(tensor->rows, tensor->cols);
  }
  const std::vector<i64> zeros = zeros_of(sparsity, layout, sizes);
  for (size_t i = 0; i < matrices.size(); i++)
    *matrices[i] = std::make_unique<Pruned>(std::move(*matrices[i]), zeros[i]);
}

}  // namespace edgellm::convert
