#include "encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "base/math.h"
#include "parallel.h"
#include "sparse.h"

namespace edgellm::convert {
namespace {

constexpr i64 BATCH_WEIGHTS = 1 << 22;  // panels of so many weights are in memory at a time

// The panel at hand. Codes, halves and group scales are used as the format needs them.
struct Panel {
  std::vector<f32> values;  // (rows, cols)
  std::vector<i8> codes;    // (rows, cols)
  std::vector<u16> halves;  // (rows, cols), or group scales (rows, groups)
  std::vector<f32> scales;  // (rows), or (rows, groups)
  std::vector<u8> packed;
  Loss loss;
};

void read(const Tensor& tensor, i64 row, i64 rows, Panel* panel) {
  size_t n = static_cast<size_t>(rows * tensor.cols);
  panel->values.resize(n);
  tensor.values(row, rows, panel->values.data());
  for (size_t i = 0; i < n; i++) {
    if (!std::isfinite(panel->values[i])) {
      i64 at = static_cast<i64>(i);
      unusable("tensor ", tensor.name, ": row ", row + at / tensor.cols, ", column ", at % tensor.cols, " is not finite");
    }
  }
}

void encode_f16(const Tensor& tensor, i64 row, Panel* panel, Loss* loss) {
  for (size_t i = 0; i < panel->values.size(); i++) {
    panel->halves[i] = f32_to_f16(panel->values[i]);
    f32 stored = f16_to_f32(panel->halves[i]);
    if (!std::isfinite(stored)) {
      unusable("tensor ", tensor.name, ": ", panel->values[i], " in the panel of row ", row, " is too large for f16");
    }
    loss->add(stored, panel->values[i]);
  }
}

// One scale a row: absmax / 127.
f32 encode_i8_row(const f32* values, i64 cols, i8* codes, Loss* loss) {
  f32 most = 0;
  for (i64 c = 0; c < cols; c++)
    most = std::max(most, std::fabs(values[c]));
  f32 scale = most / 127, inverse = scale > 0 ? 127 / most : 0;
  if (std::isinf(inverse)) scale = inverse = 0;  // the whole row is denormal
  for (i64 c = 0; c < cols; c++) {
    codes[c] = static_cast<i8>(std::clamp(std::nearbyint(values[c] * inverse), -127.0f, 127.0f));
    loss->add(static_cast<f32>(codes[c]) * scale, values[c]);
  }
  return scale;
}

// `chosen`: codes and scales are there already.
void encode_i4_row(const f32* values, i64 cols, bool chosen, i8* codes, u16* scales, Loss* loss) {
  for (i64 c = 0; c < cols; c += GROUP) {
    i64 n = min<i64>(GROUP, cols - c);
    if (!chosen) *scales = best_i4(values + c, n, codes + c);
    f32 scale = f16_to_f32(*scales++);
    for (i64 i = c; i < c + n; i++)
      loss->add(static_cast<f32>(codes[i]) * scale, values[i]);
  }
}

void encode_i8(i64 rows, i64 cols, Panel* panel, f32* row_scales) {
  for (i64 r = 0; r < rows; r++)
    row_scales[r] = encode_i8_row(panel->values.data() + r * cols, cols, panel->codes.data() + r * cols, &panel->loss);
}

// The scale is rounded to f16, the codes are what they are.
void encode_group_row(const Tensor& tensor, const f32* values, const i8* codes, const f32* scales, u16* halves, Loss* loss) {
  for (i64 c = 0; c < tensor.cols; c++) {
    u16& half = halves[c / WEIGHT_GROUP];
    if (c % WEIGHT_GROUP == 0) half = f32_to_f16(scales[c / WEIGHT_GROUP]);
    f32 scale = f16_to_f32(half);
    if (!std::isfinite(scale))
      unusable("tensor ", tensor.name, ": the scale ", scales[c / WEIGHT_GROUP], " is too large for f16");
    loss->add(static_cast<f32>(codes[c]) * scale, values[c]);
  }
}

// Packs rows [row, row + rows); scales of the format's own go to `row_scales`.
void encode_panel(const Tensor& tensor, Format format, i64 row, i64 rows, Panel* panel, f32* row_scales) {
  Loss* loss = &panel->loss;
  const i64 cols = tensor.cols;
  const i64 groups = div_up<i64>(cols, format == Format::I4 ? GROUP : WEIGHT_GROUP);
  panel->codes.resize(static_cast<size_t>(rows * cols));
  panel->halves.resize(static_cast<size_t>(format == Format::F16 ? rows * cols : rows * groups));
  panel->scales.resize(static_cast<size_t>(rows * groups));
  i8* codes = panel->codes.data();
  u16* halves = panel->halves.data();
  u8* packed = panel->packed.data();
  if (format == Format::T2) {
    tensor.codes(row, rows, codes, row_scales);
    pack_t2(codes, rows, cols, packed);
    return;
  }
  read(tensor, row, rows, panel);
  const f32* values = panel->values.data();
  switch (format) {
    case Format::F32:
      pack_f32(values, rows, cols, packed);
      break;
    case Format::F16:
      encode_f16(tensor, row, panel, loss);
      pack_f16(halves, rows, cols, packed);
      break;
    case Format::I8:
      encode_i8(rows, cols, panel, row_scales);
      pack_i8(codes, rows, cols, packed);
      break;
    case Format::I8_MASK:
    case Format::I8_GROUP:
      encode_i8(rows, cols, panel, row_scales);
      pack_sparse_panel(format, codes, rows, cols, packed);
      break;
    case Format::I4: {
      bool exact = tensor.native() == Format::I4;
      if (exact) tensor.i4(row, rows, codes, halves);
      for (i64 r = 0; r < rows; r++)
        encode_i4_row(values + r * cols, cols, exact, codes + r * cols, halves + r * groups, loss);
      pack_i4(codes, halves, rows, cols, packed);
      break;
    }
    case Format::T2_GROUP:
      tensor.codes(row, rows, codes, panel->scales.data());
      for (i64 r = 0; r < rows; r++) {
        encode_group_row(tensor, values + r * cols, codes + r * cols, panel->scales.data() + r * groups, halves + r * groups,
                         loss);
      }
      pack_t2_group(codes, halves, rows, cols, packed);
      break;
    case Format::T2:
      break;
  }
}

// Codes for one scale, and their squared error.
f32 round_i4(const f32* values, i64 n, f32 scale, i8* codes) {
  f32 error = 0, inverse = 1 / scale;
  for (i64 i = 0; i < n; i++) {
    f32 code = std::min(std::max(values[i] * inverse, -8.0f), 7.0f);
    code = (code + ROUND_F32) - ROUND_F32;  // to the nearest integer
    codes[i] = static_cast<i8>(code);
    f32 difference = code * scale - values[i];
    error += difference * difference;
  }
  return error;
}

// body(panel, row, rows) for each panel of the tensor, several at a time, then done(panel) for each in order.
template <class Body, class Done>
void for_panels(const Tensor& tensor, Body body, Done done) {
  const i64 count = div_up<i64>(tensor.rows, PANEL);
  const i64 batch = min<i64>(count, 1 + BATCH_WEIGHTS / (PANEL * tensor.cols));
  const bool heavy = batch * PANEL * tensor.cols >= HEAVY_WEIGHTS;
  std::vector<Panel> panels(static_cast<size_t>(batch));
  for (i64 first = 0; first < count; first += batch) {
    const i64 n = min(batch, count - first);
    parallel(n, heavy, [&](i64 i) {
      const i64 row = (first + i) * PANEL;
      Panel& panel = panels[static_cast<size_t>(i)];
      panel.loss = {};
      body(panel, row, min<i64>(PANEL, tensor.rows - row));
    });
    for (i64 i = 0; i < n; i++)
      done(panels[static_cast<size_t>(i)]);
  }
}

}  // namespace

f64 Loss::relative() const {
  return signal > 0 ? std::sqrt(error / signal) : 0;
}

// The value of the largest magnitude gets code -8 or a little less of the range, by the sign of the scale; each candidate's
// codes then choose the scale that suits them best.
u16 best_i4(const f32* values, i64 n, i8* codes) {
  f32 most = 0, signed_most = 0;
  for (i64 i = 0; i < n; i++) {
    if (std::fabs(values[i]) > most) most = std::fabs(values[i]), signed_most = values[i];
  }
  u16 best_scale = 0;
  f32 best_error = INFINITY;
  i8 trial[GROUP];
  auto consider = [&](f32 scale) {
    u16 half = f32_to_f16(scale);
    f32 rounded = f16_to_f32(half);
    if (!std::isfinite(rounded) || std::fabs(rounded) < 0x1p-24f) return;
    f32 error = round_i4(values, n, rounded, trial);
    if (error >= best_error) return;
    best_error = error;
    best_scale = half;
    std::copy(trial, trial + n, codes);
  };
  auto refine = [&] {
    f32 product = 0, square = 0;
    for (i64 i = 0; i < n; i++) {
      f32 code = static_cast<f32>(codes[i]);
      product += code * values[i];
      square += code * code;
    }
    if (square > 0) consider(product / square);
  };
  std::fill(codes, codes + n, i8{0});
  static constexpr f32 LEVELS[] = {-8.5f, -8, -7.5f, -7, -6.5f, -6, 6, 6.5f, 7, 7.5f};
  for (f32 level : LEVELS)
    consider(signed_most / level);
  refine();
  refine();
  return best_scale;
}

std::vector<u32> sparse_places(const Tensor& tensor, Format format) {
  std::vector<u32> places(static_cast<size_t>(div_up<i64>(tensor.rows, PANEL)) + 1);
  for_panels(
      tensor,
      [&](Panel& panel, i64 row, i64 rows) {
        f32 row_scales[PANEL];
        read(tensor, row, rows, &panel);
        panel.codes.resize(panel.values.size());
        encode_i8(rows, tensor.cols, &panel, row_scales);
        i64 bytes = sparse_panel_bytes(format, panel.codes.data(), rows, tensor.cols);
        places[static_cast<size_t>(row / PANEL) + 1] = static_cast<u32>(bytes / SPARSE_ALIGNMENT);
      },
      [](const Panel&) {});
  places[0] = static_cast<u32>(sparse_table_bytes(tensor.rows) / SPARSE_ALIGNMENT);
  std::partial_sum(places.begin(), places.end(), places.begin());
  return places;
}

Loss encode(const Tensor& tensor, const TensorSpec& spec, FileWriter& out, const std::function<void(u64)>& advance) {
  Loss loss;
  if (spec.shape.size() == 1) {
    Panel vector;
    read(tensor, 0, 1, &vector);
    out.data(vector.values.data(), vector.values.size() * 4);
    advance(vector.values.size() * 4);
    return loss;
  }
  std::vector<f32> scales(static_cast<size_t>(scale_values(spec)));
  if (spec.scale == Scale::tensor) scales[0] = tensor.ternary()->scale;
  const std::vector<u32>& places = spec.places;
  if (sparse(spec.format)) {
    std::vector<u8> table(static_cast<size_t>(sparse_table_bytes(tensor.rows)));
    std::memcpy(table.data(), places.data(), places.size() * sizeof places[0]);
    out.data(table.data(), table.size());
  }
  for_panels(
      tensor,
      [&](Panel& panel, i64 row, i64 rows) {
        size_t i = static_cast<size_t>(row / PANEL);
        panel.packed.resize(sparse(spec.format) ? (places[i + 1] - places[i]) * size_t{SPARSE_ALIGNMENT}
                                                : static_cast<size_t>(matrix_bytes(spec.format, PANEL, tensor.cols)));
        encode_panel(tensor, spec.format, row, rows, &panel,
                     spec.scale == Scale::row ? &scales[static_cast<size_t>(row)] : nullptr);
      },
      [&](const Panel& panel) {
        out.data(panel.packed.data(), panel.packed.size());
        loss.error += panel.loss.error;
        loss.signal += panel.loss.signal;
        advance(panel.packed.size());
      });
  if (sparse(spec.format)) {
    static const u8 tail[SPARSE_TAIL] = {};
    out.data(tail, sizeof tail);
  }
  if (!scales.empty()) out.scales(scales.data(), scales.size());
  return loss;
}

}  // namespace edgellm::convert
