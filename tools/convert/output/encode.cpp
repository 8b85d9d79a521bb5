#include "convert/output/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <future>
#include <numeric>

#include "base/math.h"
#include "convert/base/parallel.h"
#include "sparse.h"

namespace edgellm::convert {
namespace {

constexpr i64 LANES = 8;                // sums that go side by side
constexpr i64 BATCH_WEIGHTS = 1 << 22;  // panels of so many weights are at work at a time

// To the nearest integer, of magnitudes below 2^22.
inline f32 rounded(f32 value) {
  return (value + ROUND_F32) - ROUND_F32;
}

// Not finite when a value is not. As integers, whose maximum a compiler takes of several at once.
f32 largest_magnitude(const f32* values, i64 n) {
  i32 most = 0;
  for (i64 i = 0; i < n; i++)
    most = max(most, bits_to<i32>(values[i]) & 0x7fffffff);
  return bits_to<f32>(most);
}

// --- i4 ---
// Scales are searched on whole numbers: values over a unit that makes the largest magnitude -32767. A level, in
// LEVELS_OF_ONE, is the code that -32767 would have, were there no limit; it is below 16.

using Lanes = f32 __attribute__((vector_size(16)));
using IntegerLanes = i32 __attribute__((vector_size(16)));
constexpr i64 IN_LANES = sizeof(Lanes) / sizeof(f32);
constexpr i64 GROUP_LANES = GROUP / IN_LANES;
constexpr i32 LARGEST = 32767;
constexpr i32 LEVELS_OF_ONE = 2048;

// The codes of one level, seen through the scale that suits them best: with it the squared error is that of scale 0 less
// `gain`.
struct Fit {
  f32 scale = 0;  // in units
  f32 gain = 0;
};

inline Fit fit(const i16* whole, i32 level) {
  i32 products = 0, squares = 0;
  for (i64 i = 0; i < GROUP; i++) {
    const i16 exact = static_cast<i16>(whole[i] * level >> 16);  // in 1/1024
    i16 code = static_cast<i16>(static_cast<i16>(exact + 512) >> 10);
    code = min(code, i16{7});
    code = max(code, i16{-8});
    products += code * whole[i];
    squares += code * code;
  }
  const f32 scale = static_cast<f32>(products) / static_cast<f32>(squares);
  return {scale, static_cast<f32>(products) * scale};
}

// The largest magnitude gets a code near -8 or 7, by the sign of the scale. Of these levels the one with the best fit is
// taken, and the level that this fit's scale stands for is fitted once more.
f32 best_scale(const i16* whole) {
  static constexpr i32 QUARTERS[] = {35, 33, 31, 29, 27, 25, -31, -29, -27, -25};
  Fit best;
  for (i32 quarters : QUARTERS) {
    const Fit one = fit(whole, quarters * (LEVELS_OF_ONE / 4));
    const bool better = one.gain > best.gain;  // a selection, not a branch that would often be foreseen wrongly
    best.gain = better ? one.gain : best.gain;
    best.scale = better ? one.scale : best.scale;
  }
  return fit(whole, static_cast<i32>(LARGEST * LEVELS_OF_ONE / best.scale)).scale;
}

f32 extreme_of(const Lanes (&values)[GROUP_LANES]) {
  Lanes most = {}, least = {};
  for (Lanes lanes : values) {
    most = lanes > most ? lanes : most;
    least = lanes < least ? lanes : least;
  }
  f32 highest = 0, lowest = 0;
  for (i64 i = 0; i < IN_LANES; i++) {
    highest = max(highest, most[i]);
    lowest = min(lowest, least[i]);
  }
  return -lowest > highest ? lowest : highest;
}

u16 best_i4_group(const f32* values, i8* codes) {
  Lanes group[GROUP_LANES];
  std::memcpy(group, values, sizeof group);
  const f32 unit = extreme_of(group) / -LARGEST, per_unit = 1 / unit;
  u16 half = 0;
  if (std::fabs(unit) > 0x1p-60f) {  // else no f16 is as small as the scale
    i32 wide[GROUP];
    i16 whole[GROUP];
    for (i64 i = 0; i < GROUP_LANES; i++) {
      const IntegerLanes lanes = __builtin_convertvector(group[i] * per_unit, IntegerLanes);
      std::memcpy(wide + i * IN_LANES, &lanes, sizeof lanes);
    }
    for (i64 i = 0; i < GROUP; i++)
      whole[i] = static_cast<i16>(wide[i]);
    half = f32_to_f16(best_scale(whole) * unit);
  }
  const f32 scale = f16_to_f32(half);
  if (!std::isfinite(scale) || !(std::fabs(scale) > 0)) {
    std::memset(codes, 0, GROUP);
    return 0;
  }
  const Lanes zero = {}, lowest = zero - 8, highest = zero + 7;
  const f32 per_scale = 1 / scale;
  i32 rounded_codes[GROUP];  // in their low bits
  for (i64 i = 0; i < GROUP_LANES; i++) {
    Lanes code = group[i] * per_scale;
    code = code < highest ? code : highest;
    code = (code > lowest ? code : lowest) + ROUND_F32;
    std::memcpy(rounded_codes + i * IN_LANES, &code, sizeof code);
  }
  for (i64 i = 0; i < GROUP; i++)
    codes[i] = static_cast<i8>(rounded_codes[i]);
  return half;
}

// The panel at hand. Codes, halves and group scales are used as the format needs them.
struct Panel {
  std::vector<f32> values;  // (rows, cols)
  std::vector<i8> codes;    // (rows, cols)
  std::vector<f32> stored;  // (rows, cols) what a reader will find
  std::vector<u16> halves;  // (rows, cols), or group scales (rows, groups)
  std::vector<f32> scales;  // (rows), or (rows, groups)
  std::vector<u8> packed;
  Loss loss;
};

void read(const Tensor& tensor, i64 row, i64 rows, Panel* panel) {
  size_t n = static_cast<size_t>(rows * tensor.cols);
  panel->values.resize(n);
  tensor.values(row, rows, panel->values.data());
  if (std::isfinite(largest_magnitude(panel->values.data(), rows * tensor.cols))) return;
  for (size_t i = 0; i < n; i++) {
    if (std::isfinite(panel->values[i])) continue;
    i64 at = static_cast<i64>(i);
    unusable("tensor ", tensor.name, ": row ", row + at / tensor.cols, ", column ", at % tensor.cols, " is not finite");
  }
}

void encode_f16(const Tensor& tensor, i64 row, Panel* panel) {
  for (size_t i = 0; i < panel->values.size(); i++) {
    panel->halves[i] = f32_to_f16(panel->values[i]);
    f32 stored = f16_to_f32(panel->halves[i]);
    if (!std::isfinite(stored)) {
      unusable("tensor ", tensor.name, ": ", panel->values[i], " in the panel of row ", row, " is too large for f16");
    }
    panel->stored[i] = stored;
  }
}

// One scale a row: absmax / 127.
f32 encode_i8_row(const f32* values, i64 cols, i8* codes, f32* stored) {
  const f32 most = largest_magnitude(values, cols);
  f32 scale = most / 127, inverse = scale > 0 ? 127 / most : 0;
  if (std::isinf(inverse)) scale = inverse = 0;  // the whole row is denormal
  for (i64 c = 0; c < cols; c++) {
    f32 code = rounded(values[c] * inverse);  // of 127 and a little at most
    codes[c] = static_cast<i8>(code);
    stored[c] = code * scale;
  }
  return scale;
}

// `chosen`: codes and scales are there already.
void encode_i4_row(const f32* values, i64 cols, bool chosen, i8* codes, u16* scales, f32* stored) {
  for (i64 c = 0; c < cols; c += GROUP) {
    i64 n = min<i64>(GROUP, cols - c);
    if (!chosen) *scales = best_i4(values + c, n, codes + c);
    f32 scale = f16_to_f32(*scales++);
    for (i64 i = c; i < c + n; i++)
      stored[i] = static_cast<f32>(codes[i]) * scale;
  }
}

void encode_i8(i64 rows, i64 cols, Panel* panel, f32* row_scales) {
  for (i64 r = 0; r < rows; r++)
    row_scales[r] = encode_i8_row(panel->values.data() + r * cols, cols, panel->codes.data() + r * cols,
                                  panel->stored.data() + r * cols);
}

// The scale is rounded to f16, the codes are what they are.
void encode_group_row(const Tensor& tensor, const i8* codes, const f32* scales, u16* halves, f32* stored) {
  for (i64 c = 0; c < tensor.cols; c++) {
    u16& half = halves[c / WEIGHT_GROUP];
    if (c % WEIGHT_GROUP == 0) half = f32_to_f16(scales[c / WEIGHT_GROUP]);
    f32 scale = f16_to_f32(half);
    if (!std::isfinite(scale))
      unusable("tensor ", tensor.name, ": the scale ", scales[c / WEIGHT_GROUP], " is too large for f16");
    stored[c] = static_cast<f32>(codes[c]) * scale;
  }
}

// Packs rows [row, row + rows); scales of the format's own go to `row_scales`.
void encode_panel(const Tensor& tensor, Format format, i64 row, i64 rows, Panel* panel, f32* row_scales) {
  const i64 cols = tensor.cols;
  const i64 groups = div_up<i64>(cols, format == Format::I4 ? GROUP : WEIGHT_GROUP);
  panel->codes.resize(static_cast<size_t>(rows * cols));
  panel->stored.resize(static_cast<size_t>(rows * cols));
  panel->halves.resize(static_cast<size_t>(format == Format::F16 ? rows * cols : rows * groups));
  panel->scales.resize(static_cast<size_t>(rows * groups));
  i8* codes = panel->codes.data();
  f32* stored = panel->stored.data();
  u16* halves = panel->halves.data();
  u8* packed = panel->packed.data();
  if (format == Format::T2 || format == Format::T5) {
    tensor.codes(row, rows, codes, row_scales);
    (format == Format::T2 ? pack_t2 : pack_t5)(codes, rows, cols, packed);
    panel->loss.zeros += std::count(codes, codes + rows * cols, i8{0});
    return;
  }
  read(tensor, row, rows, panel);
  const f32* values = panel->values.data();
  switch (format) {
    case Format::F32:
      panel->stored = panel->values;
      pack_f32(values, rows, cols, packed);
      break;
    case Format::F16:
      encode_f16(tensor, row, panel);
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
        encode_i4_row(values + r * cols, cols, exact, codes + r * cols, halves + r * groups, stored + r * cols);
      pack_i4(codes, halves, rows, cols, packed);
      break;
    }
    case Format::T2_GROUP:
      tensor.codes(row, rows, codes, panel->scales.data());
      for (i64 r = 0; r < rows; r++) {
        encode_group_row(tensor, codes + r * cols, panel->scales.data() + r * groups, halves + r * groups,
                         stored + r * cols);
      }
      pack_t2_group(codes, halves, rows, cols, packed);
      break;
    case Format::T2:
    case Format::T5:
      break;
  }
  panel->loss.add(stored, values, rows * cols);
}

// body(panel, row, rows) for each panel of the tensor, several at a time, then done(panel) for each in order, while the next ones
// are at work.
template <class Body, class Done>
void for_panels(const Tensor& tensor, Body body, Done done) {
  const i64 count = div_up<i64>(tensor.rows, PANEL);
  const i64 batch = min<i64>(count, 1 + BATCH_WEIGHTS / (PANEL * tensor.cols));
  const bool heavy = batch * PANEL * tensor.cols >= HEAVY_WEIGHTS;
  std::vector<Panel> batches[2];
  std::future<void> before;
  for (i64 first = 0; first < count; first += batch) {
    const i64 turn = first / batch, n = min(batch, count - first);
    std::vector<Panel>& panels = batches[turn % 2];
    panels.resize(static_cast<size_t>(batch));
    parallel(n, heavy, [&](i64 i) {
      const i64 row = (first + i) * PANEL;
      Panel& panel = panels[static_cast<size_t>(i)];
      panel.loss = {};
      body(panel, row, min<i64>(PANEL, tensor.rows - row));
    });
    if (before.valid()) before.get();
    before = std::async(heavy ? std::launch::async : std::launch::deferred, [&panels, &done, n] {
      for (i64 i = 0; i < n; i++)
        done(panels[static_cast<size_t>(i)]);
    });
  }
  before.get();
}

}  // namespace

f64 Loss::relative() const {
  return signal > 0 ? std::sqrt(error / signal) : 0;
}

void Loss::add(const f32* stored, const f32* original, i64 n) {
  zeros += std::count(stored, stored + n, 0.0f);
  f64 errors[LANES] = {}, signals[LANES] = {};
  i64 i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (i64 lane = 0; lane < LANES; lane++) {
      f64 meant = static_cast<f64>(original[i + lane]), difference = static_cast<f64>(stored[i + lane]) - meant;
      errors[lane] += difference * difference;
      signals[lane] += meant * meant;
    }
  }
  for (; i < n; i++) {
    f64 meant = static_cast<f64>(original[i]), difference = static_cast<f64>(stored[i]) - meant;
    errors[0] += difference * difference;
    signals[0] += meant * meant;
  }
  for (i64 lane = 0; lane < LANES; lane++) {
    error += errors[lane];
    signal += signals[lane];
  }
}

u16 best_i4(const f32* values, i64 n, i8* codes) {
  if (n == GROUP) return best_i4_group(values, codes);
  f32 padded[GROUP] = {};
  i8 padded_codes[GROUP];
  std::memcpy(padded, values, static_cast<size_t>(n) * sizeof(f32));
  const u16 half = best_i4_group(padded, padded_codes);
  std::memcpy(codes, padded_codes, static_cast<size_t>(n));
  return half;
}

std::vector<u32> sparse_places(const Tensor& tensor, Format format) {
  std::vector<u32> places(static_cast<size_t>(div_up<i64>(tensor.rows, PANEL)) + 1);
  for_panels(
      tensor,
      [&](Panel& panel, i64 row, i64 rows) {
        f32 row_scales[PANEL];
        read(tensor, row, rows, &panel);
        panel.codes.resize(panel.values.size());
        panel.stored.resize(panel.values.size());
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
        loss.zeros += panel.loss.zeros;
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
