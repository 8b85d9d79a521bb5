// What the reference kernels mean: layouts byte by byte as docs/FILE.md has them, results against plain f64 arithmetic, the
// tables made from the lists. (That every set equals the reference is the kernel checker's matter.)
#include "kernels.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "base/math.h"
#include "check.h"
#include "platform/cpu.h"
#include "sparse_matrix.h"

using namespace edgellm;

static u64 state = 1;

static i32 between(i32 low, i32 high) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return low + static_cast<i32>((state >> 33) % static_cast<u64>(high - low + 1));
}

static f32 uniform() {
  return static_cast<f32>(between(-100000, 100000)) * 1e-5f;
}

static std::vector<f32> floats(i64 n) {
  std::vector<f32> x(static_cast<size_t>(n));
  for (f32& value : x)
    value = uniform();
  return x;
}

static Kernels reference() {
  Kernels k;
  CHECK(select_kernels("ref", 0, &k));
  return k;
}

TEST(tables) {
  Kernels k;
  CHECK(!select_kernels("nonsense", cpu_features(), &k));
  CHECK(!select_kernels("", cpu_features(), &k));
  if (isa_name(1)) CHECK(!select_kernels(isa_name(1), 0, &k));  // what the CPU lacks
  CHECK(select_kernels(nullptr, 0, &k));
  CHECK(Text(k.isa) == Text("ref"));
  CHECK(select_kernels(nullptr, cpu_features(), &k));
  CHECK(Text(isa_name(0)) == Text("ref") && isa_features(0) == 0 && !isa_name(-1) && !isa_name(99));
  CHECK(Text(format_name(Format::T2_GROUP)) == Text("t2_group"));
  CHECK(known_format(8) && !known_format(9));
  CHECK(sparse(Format::I8_MASK) && sparse(Format::I8_GROUP) && !sparse(Format::I8));
  CHECK_EQ(matrix_bytes(Format::T2, 17, 33), 2 * 2 * 128);
  CHECK_EQ(matrix_bytes(Format::T2_GROUP, 16, 256), 1088);
  CHECK_EQ(matrix_bytes(Format::T5, 17, 41), 2 * 3 * 64);
  CHECK_EQ(matrix_bytes(Format::F32, 1, 5), 2 * 256);
  CHECK_EQ(matrix_bytes(Format::I4, 151936, 131072), i64{9496} * 2048 * 576);
  CHECK_EQ(scale_count(Scale::row, 17), 32);
  CHECK_EQ(scale_count(Scale::tensor, 17), 1);
  CHECK_EQ(scale_count(Scale::none, 17), 0);
  CHECK(served(Format::T2, Scale::row, Quantization::group32) && !served(Format::T2, Scale::none, Quantization::token));
  CHECK(served(Format::T5, Scale::row, Quantization::token) && !served(Format::T5, Scale::row, Quantization::group32));
  CHECK(served(Format::F16, Scale::none, Quantization::none) && !served(Format::F16, Scale::none, Quantization::token));
  CHECK(served(Format::I8_MASK, Scale::row, Quantization::token) &&
        !served(Format::I8_GROUP, Scale::row, Quantization::group32));
  CHECK(!served(Format::I4, Scale::none, Quantization::token) && !served(Format::I8, Scale::tensor, Quantization::token));
}

// A matrix of a format with the f64 values it stands for.
struct Weights {
  Matrix w;
  std::vector<u8> data;
  std::vector<f32> scales;
  std::vector<double> values;  // (rows, cols)
  std::vector<i8> codes;       // (rows, cols) of the integer formats
  std::vector<u16> halves;     // (rows, groups) of i4 and t2_group, (rows, cols) of f16

  double at(i32 row, i32 col) const {
    return values[static_cast<size_t>(row) * static_cast<size_t>(w.cols) + static_cast<size_t>(col)];
  }
};

static void make(Weights* m, Format format, Scale scale, Quantization activations, i32 rows, i32 cols) {
  size_t count = static_cast<size_t>(rows) * static_cast<size_t>(cols);
  if (!sparse(format)) m->data.assign(static_cast<size_t>(matrix_bytes(format, rows, cols)), 0xee);
  m->scales.resize(static_cast<size_t>(scale_count(scale, rows)));
  for (f32& s : m->scales)
    s = 0.01f + std::fabs(uniform());
  m->values.resize(count);
  m->codes.resize(count);
  i32 group = format == Format::I4 ? GROUP : WEIGHT_GROUP, groups = div_up(cols, group);
  m->halves.resize(format == Format::F16 ? count : static_cast<size_t>(rows) * static_cast<size_t>(groups));
  for (u16& h : m->halves)
    h = f32_to_f16(uniform());
  std::vector<f32> plain = floats(static_cast<i64>(count));
  bool bytes = format == Format::I8 || sparse(format);
  i32 low = bytes ? -127 : format == Format::I4 ? -8 : -1;
  i32 high = bytes ? 127 : format == Format::I4 ? 7 : 1;
  for (size_t i = 0; i < count; i++) {
    size_t row = i / static_cast<size_t>(cols), col = i % static_cast<size_t>(cols);
    m->codes[i] = static_cast<i8>(between(low, high));
    if (sparse(format) && between(0, 9) < 7) m->codes[i] = 0;
    double factor = 1;
    if (scale != Scale::none) factor = static_cast<double>(m->scales[scale == Scale::row ? row : 0]);
    if (format == Format::I4 || format == Format::T2_GROUP) {
      factor =
          static_cast<double>(f16_to_f32(m->halves[row * static_cast<size_t>(groups) + col / static_cast<size_t>(group)]));
    }
    m->values[i] = m->codes[i] * factor;
    if (format == Format::F32) m->values[i] = static_cast<double>(plain[i]);
    if (format == Format::F16) m->values[i] = static_cast<double>(f16_to_f32(m->halves[i]));
  }
  u8* out = m->data.data();
  switch (format) {
    case Format::F32:
      pack_f32(plain.data(), rows, cols, out);
      break;
    case Format::F16:
      pack_f16(m->halves.data(), rows, cols, out);
      break;
    case Format::I8:
      pack_i8(m->codes.data(), rows, cols, out);
      break;
    case Format::I4:
      pack_i4(m->codes.data(), m->halves.data(), rows, cols, out);
      break;
    case Format::T2:
      pack_t2(m->codes.data(), rows, cols, out);
      break;
    case Format::T2_GROUP:
      pack_t2_group(m->codes.data(), m->halves.data(), rows, cols, out);
      break;
    case Format::I8_MASK:
    case Format::I8_GROUP:
      m->data = pack_sparse(format, m->codes.data(), rows, cols).data;
      break;
    case Format::T5:
      pack_t5(m->codes.data(), rows, cols, out);
      break;
  }
  m->w = {format,
          scale,
          activations,
          rows,
          cols,
          m->data.data(),
          m->scales.empty() ? nullptr : m->scales.data(),
          static_cast<i64>(m->data.size())};
}

// The code of (row, col) by the table in docs/FILE.md.
static i32 code_by_the_book(const Weights& m, i32 row, i32 col) {
  const Matrix& w = m.w;
  i32 panel = row / 16, r = row % 16;
  switch (w.format) {
    case Format::I8: {
      const u8* unit = w.data + (panel * ((w.cols + 31) / 32) + col / 32) * 512;
      i32 j = col % 32 / 4, c = col % 4;
      return static_cast<i8>(unit[j * 64 + 4 * r + c]);
    }
    case Format::I4: {
      const u8* unit = w.data + (panel * ((w.cols + 63) / 64) + col / 64) * 576;
      i32 j = col % 64 / 8, c = col % 4;
      u8 byte = unit[64 + j * 64 + 4 * r + c];
      return (col % 8 < 4 ? byte & 15 : byte >> 4) - 8;
    }
    case Format::T2: {
      const u8* unit = w.data + (panel * ((w.cols + 31) / 32) + col / 32) * 128;
      i32 j = col % 32 / 16, c = col % 4, pair = col % 16 / 4;
      return (unit[j * 64 + 4 * r + c] >> (2 * pair) & 3) - 1;
    }
    case Format::T2_GROUP: {
      const u8* unit = w.data + (panel * ((w.cols + 255) / 256) + col / 256) * 1088;
      i32 j = col % 256 / 16, c = col % 4, pair = col % 16 / 4;
      return (unit[64 + j * 64 + 4 * r + c] >> (2 * pair) & 3) - 1;
    }
    case Format::I8_MASK:
    case Format::I8_GROUP: {
      const bool single = w.format == Format::I8_MASK;
      u32 place;
      std::memcpy(&place, w.data + 4 * panel, 4);
      const u8* unit = w.data + i64{64} * place;
      for (i32 first = 0;; first += 32) {
        const u8* item = unit + (single ? 64 : 16);
        for (i32 line = 0; line < 8; line++) {
          for (i32 bit = 0; bit < (single ? 64 : 16); bit++) {
            if (!(unit[line * (single ? 8 : 2) + bit / 8] >> (bit % 8) & 1)) continue;
            i32 its_row = single ? bit / 4 : bit, its_col = first + 4 * line + (single ? bit % 4 : 0);
            if (its_row == r && single && its_col == col) return static_cast<i8>(*item);
            if (its_row == r && !single && its_col == col / 4 * 4) return static_cast<i8>(item[col % 4]);
            item += single ? 1 : 4;
          }
        }
        if (col < first + 32) return 0;
        unit = item;
      }
    }
    case Format::T5: {
      u8 byte = w.data[(panel * ((w.cols + 19) / 20) + col / 20) * 64 + 4 * r + col % 4];
      for (i32 i = 0; i < col % 20 / 4; i++)
        byte /= 3;
      return byte % 3 - 1;
    }
    default:
      return 0;
  }
}

struct Kind {
  Format format;
  Scale scale;
  Quantization activations;
};

static const Kind KINDS[] = {
    {Format::F32, Scale::none, Quantization::none},     {Format::F16, Scale::none, Quantization::none},
    {Format::I8, Scale::row, Quantization::token},      {Format::I8, Scale::row, Quantization::group32},
    {Format::I4, Scale::none, Quantization::group32},   {Format::T2, Scale::tensor, Quantization::token},
    {Format::T2, Scale::row, Quantization::token},      {Format::T2, Scale::tensor, Quantization::group32},
    {Format::T2, Scale::row, Quantization::group32},    {Format::T2_GROUP, Scale::none, Quantization::group32},
    {Format::I8_MASK, Scale::row, Quantization::token}, {Format::I8_GROUP, Scale::row, Quantization::token},
    {Format::T5, Scale::tensor, Quantization::token},   {Format::T5, Scale::row, Quantization::token}};

TEST(layouts) {
  Kernels k = reference();
  for (const Kind& kind : KINDS) {
    for (i32 cols : {1, 3, 31, 65, 300}) {
      Weights m;
      make(&m, kind.format, kind.scale, kind.activations, 19, cols);
      std::vector<f32> out(static_cast<size_t>(cols));
      long wrong = 0;
      bool integers = kind.format != Format::F32 && kind.format != Format::F16;
      for (i32 row = 0; row < 19; row++) {
        k.row(m.w, row, out.data());
        for (i32 col = 0; col < cols; col++) {
          size_t i = static_cast<size_t>(row * cols + col);
          if (out[static_cast<size_t>(col)] != static_cast<f32>(m.values[i])) wrong++;
          if (integers && code_by_the_book(m, row, col) != m.codes[i]) wrong++;
        }
      }
      CHECK_EQ(wrong, 0);
    }
  }
}

TEST(padding_is_weight_zero) {
  for (const Kind& kind : KINDS) {
    Weights m;
    make(&m, kind.format, kind.scale, kind.activations, 1, 1);
    m.w.rows = PANEL;
    m.w.cols = unit_columns(kind.format);
    m.scales.assign(PANEL, 1.0f);
    if (kind.scale != Scale::none) m.w.scales = m.scales.data();
    std::vector<f32> out(static_cast<size_t>(m.w.cols));
    long nonzero = 0;
    for (i32 row = 0; row < PANEL; row++) {
      reference().row(m.w, row, out.data());
      for (i32 col = 0; col < m.w.cols; col++)
        nonzero += (row || col) && out[static_cast<size_t>(col)] != 0;
    }
    CHECK_EQ(nonzero, 0);
  }
}

// Matmul by quantised activations against f64 sums of the dequantised values, so that rounding alone may differ.
TEST(matmul) {
  Kernels k = reference();
  constexpr i32 ROWS = 21, COLS = 333, STRIDE = 512, COUNT = 2;
  for (const Kind& kind : KINDS) {
    Weights m;
    make(&m, kind.format, kind.scale, kind.activations, ROWS, COLS);
    std::vector<f32> x = floats(COUNT * STRIDE), scales(COUNT * STRIDE / GROUP), y(COUNT * 32, -1.0f);
    std::vector<i8> q(COUNT * STRIDE);
    std::vector<i32> sums(COUNT * STRIDE / GROUP);
    bool token = kind.activations == Quantization::token;
    for (i32 c = 0; c < COUNT; c++) {
      f32* column = x.data() + c * STRIDE;
      for (i32 i = COLS; i < STRIDE; i++)
        column[i] = 0;
      i32 at = token ? c : c * (STRIDE / GROUP);
      (token ? k.quantize_token : k.quantize_group32)(column, COLS, STRIDE, q.data() + c * STRIDE,
                                                      &scales[static_cast<size_t>(at)], &sums[static_cast<size_t>(at)]);
    }
    Activations a = {COUNT, STRIDE, x.data(), q.data(), scales.data(), sums.data()};
    matmul(k, m.w, a, y.data(), 32, 0, ROWS);
    double worst = 0;
    for (i32 c = 0; c < COUNT; c++) {
      for (i32 row = 0; row < ROWS; row++) {
        double sum = 0, size = 0;
        for (i32 col = 0; col < COLS; col++) {
          size_t i = static_cast<size_t>(c * STRIDE + col);
          size_t at = static_cast<size_t>(token ? c : c * (STRIDE / GROUP) + col / GROUP);
          double value =
              kind.activations == Quantization::none ? static_cast<double>(x[i]) : q[i] * static_cast<double>(scales[at]);
          sum += value * m.at(row, col);
          size += std::fabs(value * m.at(row, col));
        }
        worst = std::fmax(worst, std::fabs(static_cast<double>(y[static_cast<size_t>(c * 32 + row)]) - sum) / size);
      }
    }
    CHECK(worst < 1e-6);
  }
}

TEST(quantisation_recovers_its_input) {
  Kernels k = reference();
  constexpr i32 N = 100, PADDED = 256;
  std::vector<f32> x = floats(N), scales(PADDED / GROUP);
  x[40] = 90.0f;  // an outlier: ruins its own group alone
  std::vector<i8> q(PADDED, 1);
  std::vector<i32> sums(PADDED / GROUP);
  k.quantize_group32(x.data(), N, PADDED, q.data(), scales.data(), sums.data());
  for (i32 i = 0; i < N; i++) {
    f32 scale = scales[static_cast<size_t>(i / GROUP)];
    CHECK(std::fabs(static_cast<f32>(q[static_cast<size_t>(i)]) * scale - x[static_cast<size_t>(i)]) <= scale * 0.5001f);
  }
  CHECK(scales[0] < 0.01f && scales[1] > 0.7f && scales[4] == 0.0f);
  i32 total = 0;
  for (i32 i = 96; i < PADDED; i++)
    total += q[static_cast<size_t>(i)];
  CHECK_EQ(total, sums[3]);
  f32 scale, tiny[2] = {1e-9f, -3e-9f};
  i32 sum;
  k.quantize_token(tiny, 2, 256, q.data(), &scale, &sum);
  CHECK(q[0] == 0 && q[1] == 0 && scale == 1e-5f / 127.0f);  // BitNet's floor
}

TEST(norms) {
  Kernels k = reference();
  constexpr i32 N = 77;
  std::vector<f32> x = floats(N), weight = floats(N), bias = floats(N), y(N);
  double mean = 0, squares = 0, variance = 0;
  for (f32 value : x)
    mean += static_cast<double>(value) / N;
  for (f32 value : x)
    squares += static_cast<double>(value) * static_cast<double>(value) / N;
  for (f32 value : x)
    variance += std::pow(static_cast<double>(value) - mean, 2) / N;
  k.rms_norm(x.data(), weight.data(), 1e-5f, N, y.data());
  for (size_t i = 0; i < N; i++) {
    CHECK(std::fabs(static_cast<double>(y[i]) - static_cast<double>(x[i] * weight[i]) / std::sqrt(squares + 1e-5)) < 1e-6);
  }
  k.layer_norm(x.data(), weight.data(), bias.data(), 1e-5f, N, y.data());
  for (size_t i = 0; i < N; i++) {
    double normal = (static_cast<double>(x[i]) - mean) / std::sqrt(variance + 1e-5);
    double expected = normal * static_cast<double>(weight[i]) + static_cast<double>(bias[i]);
    CHECK(std::fabs(static_cast<double>(y[i]) - expected) < 1e-6);
  }
}

TEST(rotation) {
  Kernels k = reference();
  f32 half[4] = {1, 2, 3, 4}, interleaved[4] = {1, 2, 3, 4};
  const f32 cosine[2] = {0, 0.6f}, sine[2] = {1, 0.8f};
  k.rope_half(half, cosine, sine, 2);  // pairs (1, 3) and (2, 4)
  CHECK(half[0] == -3 && half[2] == 1);
  CHECK(std::fabs(half[1] + 2.0f) < 1e-6f && std::fabs(half[3] - 4.0f) < 1e-6f);
  k.rope_interleaved(interleaved, cosine, sine, 2);  // pairs (1, 2) and (3, 4)
  CHECK(interleaved[0] == -2 && interleaved[1] == 1);
  CHECK(std::fabs(interleaved[2] + 1.4f) < 1e-6f && std::fabs(interleaved[3] - 4.8f) < 1e-6f);
}

// Attention of two heads over a cache against f64, with the error that its format brings.
static void check_attention(bool i8_cache, double tolerance) {
  Kernels k = reference();
  constexpr i32 DIM = 20, PADDED = 32, SLOTS = 32, FIRST = 3, N = 25, HEADS = 2, STRIDE = N + 15;
  struct alignas(64) {
    u8 k[SLOTS * PADDED * 2], v[SLOTS * PADDED * 2];
  } cache;
  f32 k_scale[SLOTS], v_scale[SLOTS];
  KvHead kv = {DIM, PADDED, cache.k, cache.v, k_scale, v_scale};
  std::vector<f32> keys = floats(SLOTS * DIM), values = floats(SLOTS * DIM);
  for (i32 slot = 0; slot < SLOTS; slot++) {
    (i8_cache ? k.store_i8 : k.store_f16)(keys.data() + slot * DIM, values.data() + slot * DIM, slot, kv);
  }
  std::vector<f32> x(HEADS * PADDED), scores(HEADS * STRIDE), out(HEADS * PADDED);
  std::vector<i8> q(HEADS * PADDED);
  f32 scales[HEADS];
  i32 sums[HEADS];
  for (i32 h = 0; h < HEADS; h++) {
    for (i32 d = 0; d < DIM; d++)
      x[static_cast<size_t>(h * PADDED + d)] = uniform();
    k.quantize_token(x.data() + h * PADDED, DIM, PADDED, q.data() + h * PADDED, scales + h, sums + h);
  }
  Queries queries = {HEADS, PADDED, x.data(), q.data(), scales, sums};
  (i8_cache ? k.scores_i8 : k.scores_f16)(queries, kv, FIRST, N, scores.data(), STRIDE);
  for (i32 h = 0; h < HEADS; h++)
    k.softmax(scores.data() + h * STRIDE, N);
  (i8_cache ? k.values_i8 : k.values_f16)(scores.data(), STRIDE, HEADS, kv, FIRST, N, out.data(), PADDED);
  for (i32 h = 0; h < HEADS; h++) {
    double p[N], total = 0;
    for (i32 i = 0; i < N; i++) {
      double score = 0;
      for (i32 d = 0; d < DIM; d++) {
        score += static_cast<double>(x[static_cast<size_t>(h * PADDED + d)]) *
                 static_cast<double>(keys[static_cast<size_t>((FIRST + i) * DIM + d)]);
      }
      total += p[i] = std::exp(score);
    }
    for (i32 d = 0; d < DIM; d++) {
      double expected = 0;
      for (i32 i = 0; i < N; i++)
        expected += p[i] / total * static_cast<double>(values[static_cast<size_t>((FIRST + i) * DIM + d)]);
      CHECK(std::fabs(expected - static_cast<double>(out[static_cast<size_t>(h * PADDED + d)])) < tolerance);
    }
    for (i32 d = DIM; d < PADDED; d++)
      CHECK_EQ(out[static_cast<size_t>(h * PADDED + d)], 0.0f);
  }
}

TEST(attention_f16) {
  check_attention(false, 1e-3);
}

TEST(attention_i8) {
  check_attention(true, 2e-2);
}

TEST(gates_and_reductions) {
  Kernels k = reference();
  const f32 gate[4] = {-2, 0, 3, 1}, up[4] = {1, 1, 2, -1};
  f32 y[4];
  k.silu_gate(gate, up, 4, y);
  for (size_t i = 0; i < 4; i++) {
    double g = static_cast<double>(gate[i]);
    CHECK(std::fabs(static_cast<double>(y[i]) - g / (1 + std::exp(-g)) * static_cast<double>(up[i])) < 1e-6);
  }
  k.relu2_gate(gate, up, 4, y);
  CHECK(y[0] == 0 && y[1] == 0 && y[2] == 18 && y[3] == -1);
  const f32 ties[5] = {std::nanf(""), 1, 7, 7, -INFINITY_F32};
  CHECK_EQ(k.argmax(ties, 5), 2);
  CHECK_EQ(k.argmax(ties, 1), -1);
  CHECK_EQ(k.argmax(ties + 4, 1), 0);
  CHECK(!k.all_finite(ties, 2) && k.all_finite(ties + 1, 3) && !k.all_finite(ties + 1, 4));
}
