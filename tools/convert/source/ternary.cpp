#include "convert/source/ternary.h"

#include <algorithm>
#include <cmath>

namespace edgellm::convert {
namespace {

// The one magnitude of all non-zero values, 0 when all are zero; NaN when there are several or one is not finite.
f32 common_magnitude(const f32* values, i64 n) {
  f32 magnitude = 0;
  for (i64 i = 0; i < n; i++) {
    f32 m = std::fabs(values[i]);
    if (!(m > 0)) {
      if (std::isnan(m)) return NAN;
      continue;
    }
    if (std::isinf(m) || (magnitude > 0 && (m < magnitude || m > magnitude))) return NAN;
    magnitude = m;
  }
  return magnitude;
}

// A tensor that shows another one as ternary.
class View : public Tensor {
 public:
  View(std::unique_ptr<Tensor> matrix, const Ternary& ternary)
      : Tensor(matrix->name, matrix->role, matrix->rows, matrix->cols), matrix_(std::move(matrix)), ternary_(ternary) {}
  void values(i64 row, i64 count, f32* out) const override { matrix_->values(row, count, out); }
  std::optional<Ternary> ternary() const override { return ternary_; }

 protected:
  std::unique_ptr<Tensor> matrix_;
  Ternary ternary_;
};

class Recognised : public View {
 public:
  using View::View;

  void codes(i64 row, i64 count, i8* out, f32* scales) const override {
    std::vector<f32> values(static_cast<size_t>(count * cols));
    matrix_->values(row, count, values.data());
    for (size_t i = 0; i < values.size(); i++)
      out[i] = static_cast<i8>((values[i] > 0) - (values[i] < 0));
    const i64 span = ternary_.per == Ternary::Per::group ? WEIGHT_GROUP : cols;
    if (ternary_.per == Ternary::Per::tensor) return;
    for (i64 r = 0; r < count; r++) {
      for (i64 c = 0; c < cols; c += span)
        *scales++ = common_magnitude(&values[static_cast<size_t>(r * cols + c)], min(span, cols - c));
    }
  }
};

class Master : public View {
 public:
  using View::View;

  void values(i64 row, i64 count, f32* out) const override {
    matrix_->values(row, count, out);
    for (i64 i = 0; i < count * cols; i++)
      out[i] = ternary_.scale * static_cast<f32>(code(out[i]));
  }

  void codes(i64 row, i64 count, i8* out, f32*) const override {
    std::vector<f32> values(static_cast<size_t>(count * cols));
    matrix_->values(row, count, values.data());
    for (size_t i = 0; i < values.size(); i++)
      out[i] = code(values[i]);
  }

 private:
  i8 code(f32 value) const { return static_cast<i8>(std::nearbyint(std::clamp(value / ternary_.scale, -1.0f, 1.0f))); }
};

class Nearest : public View {
 public:
  using View::View;

  void codes(i64 row, i64 count, i8* out, f32* scales) const override {
    std::vector<f32> values(static_cast<size_t>(count * cols));
    matrix_->values(row, count, values.data());
    for (i64 r = 0; r < count; r++) {
      for (i64 c = 0; c < cols; c += WEIGHT_GROUP) {
        i64 at = r * cols + c;
        *scales++ = nearest_group(&values[static_cast<size_t>(at)], min<i64>(WEIGHT_GROUP, cols - c), out + at);
      }
    }
  }

 private:
  // The squared error is least when the k largest magnitudes share their mean as scale, for the k that maximises
  // (their sum)^2 / k.
  static f32 nearest_group(const f32* values, i64 n, i8* out) {
    f32 sorted[WEIGHT_GROUP];
    for (i64 i = 0; i < n; i++)
      sorted[i] = std::fabs(values[i]);
    std::sort(sorted, sorted + n, std::greater<>());
    f64 sum = 0, best = 0;
    f32 scale = 0, threshold = INFINITY;
    for (i64 k = 0; k < n; k++) {
      sum += static_cast<f64>(sorted[k]);
      f64 gain = sum * sum / static_cast<f64>(k + 1);
      if (gain <= best) continue;
      best = gain;
      scale = static_cast<f32>(sum / static_cast<f64>(k + 1));
      threshold = sorted[k];
    }
    for (i64 i = 0; i < n; i++)
      out[i] = static_cast<i8>((values[i] >= threshold) - (values[i] <= -threshold));
    return scale;
  }
};

}  // namespace

std::optional<Ternary> recognise(const Tensor& matrix) {
  std::vector<f32> row(static_cast<size_t>(matrix.cols));
  bool per_tensor = true, per_row = true;
  f32 scale = 0;  // of all rows so far, while per_tensor
  for (i64 r = 0; r < matrix.rows; r++) {
    matrix.values(r, 1, row.data());
    f32 of_row = per_row ? common_magnitude(row.data(), matrix.cols) : NAN;
    if (std::isnan(of_row)) {
      per_row = per_tensor = false;
      for (i64 c = 0; c < matrix.cols; c += WEIGHT_GROUP) {
        i64 n = min<i64>(WEIGHT_GROUP, matrix.cols - c);
        if (std::isnan(common_magnitude(row.data() + c, n))) return std::nullopt;
      }
    } else if (of_row > 0) {
      if (scale > 0 && (of_row < scale || of_row > scale)) per_tensor = false;
      scale = of_row;
    }
  }
  if (per_tensor) return Ternary{Ternary::Per::tensor, scale};
  return Ternary{per_row ? Ternary::Per::row : Ternary::Per::group, 0};
}

std::unique_ptr<Tensor> recognised(std::unique_ptr<Tensor> matrix, const Ternary& ternary) {
  return std::make_unique<Recognised>(std::move(matrix), ternary);
}

std::unique_ptr<Tensor> from_master(std::unique_ptr<Tensor> matrix) {
  std::vector<f32> row(static_cast<size_t>(matrix->cols));
  f64 sum = 0;
  for (i64 r = 0; r < matrix->rows; r++) {
    matrix->values(r, 1, row.data());
    for (f32 value : row)
      sum += static_cast<f64>(std::fabs(value));
  }
  f64 mean = sum / static_cast<f64>(matrix->rows * matrix->cols);
  if (!std::isfinite(mean)) unusable("tensor ", matrix->name, " has values that are not finite");
  return std::make_unique<Master>(std::move(matrix), Ternary{Ternary::Per::tensor, static_cast<f32>(std::max(mean, 1e-5))});
}

std::unique_ptr<Tensor> nearest_ternary(std::unique_ptr<Tensor> matrix) {
  return std::make_unique<Nearest>(std::move(matrix), Ternary{Ternary::Per::group, 0});
}

}  // namespace edgellm::convert
