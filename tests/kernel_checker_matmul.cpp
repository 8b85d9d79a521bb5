// Cases of the matmul slots and of `row`.
#include "kernel_checker.h"
#include "sparse_matrix.h"

namespace checker {

namespace {

const MatmulSlot SLOTS[] = {
    {"matmul_f32", &Kernels::matmul_f32, Format::F32, Scale::none, Quantization::none},
    {"matmul_f16", &Kernels::matmul_f16, Format::F16, Scale::none, Quantization::none},
    {"matmul_i8_token", &Kernels::matmul_i8_token, Format::I8, Scale::row, Quantization::token},
    {"matmul_i8_group32", &Kernels::matmul_i8_group32, Format::I8, Scale::row, Quantization::group32},
    {"matmul_i8_mask_token", &Kernels::matmul_i8_mask_token, Format::I8_MASK, Scale::row, Quantization::token},
    {"matmul_i8_group_token", &Kernels::matmul_i8_group_token, Format::I8_GROUP, Scale::row, Quantization::token},
    {"matmul_i4_group32", &Kernels::matmul_i4_group32, Format::I4, Scale::none, Quantization::group32},
    {"matmul_t2_token", &Kernels::matmul_t2_token, Format::T2, Scale::tensor, Quantization::token},
    {"matmul_t2_token", &Kernels::matmul_t2_token, Format::T2, Scale::row, Quantization::token},
    {"matmul_t2_group32", &Kernels::matmul_t2_group32, Format::T2, Scale::tensor, Quantization::group32},
    {"matmul_t2_group32", &Kernels::matmul_t2_group32, Format::T2, Scale::row, Quantization::group32},
    {"matmul_t2_group_group32", &Kernels::matmul_t2_group_group32, Format::T2_GROUP, Scale::none, Quantization::group32},
    {"matmul_t5_token", &Kernels::matmul_t5_token, Format::T5, Scale::tensor, Quantization::token},
    {"matmul_t5_token", &Kernels::matmul_t5_token, Format::T5, Scale::row, Quantization::token},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::F32, Scale::none, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::F16, Scale::none, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::I8, Scale::row, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::I8_MASK, Scale::row, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::I8_GROUP, Scale::row, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::I4, Scale::none, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::T2, Scale::tensor, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::T2, Scale::row, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::T2_GROUP, Scale::none, Quantization::none},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::T5, Scale::row, Quantization::none},
};

// Weight bytes: -1 random codes with ordinary scales inside, -2 all bytes random, else every byte this value.
constexpr i32 ORDINARY = -1, HOSTILE = -2;
constexpr i32 WEIGHT_FILLS[] = {ORDINARY, ORDINARY, ORDINARY, HOSTILE, 0x00, 0x55, 0x7f, 0x80, 0xff};

// Integer activations.
enum class Signs { random, plus, minus, alternating };
constexpr Signs SIGNS[] = {Signs::random, Signs::random, Signs::random, Signs::plus, Signs::minus, Signs::alternating};

struct Case {
  i32 rows, cols, count, row0, row1;
  i32 weights;
  Signs signs;
  Fill floats;  // of x, and of scales
};

// The f16 scales inside the panels of i4 and t2_group lie in the first 64 bytes of a unit.
const u8* make_weights(Checker& c, Format format, const Case& t) {
  i64 bytes = matrix_bytes(format, t.rows, t.cols);
  u8* data = c.input<u8>(bytes);
  for (i64 i = 0; i < bytes; i++)
    data[i] = static_cast<u8>(t.weights < 0 ? c.random.bits() : static_cast<u32>(t.weights));
  if (t.weights != ORDINARY) return data;
  for (i64 at = 0; at < bytes && format == Format::F32; at += 4) {
    f32 value = c.random.ordinary();
    memcpy(data + at, &value, sizeof value);
  }
  bool halves = format == Format::F16 || format == Format::I4 || format == Format::T2_GROUP;
  for (i64 at = 0; at < bytes && halves; at += 2) {
    if (format != Format::F16 && at % unit_bytes(format) >= 64) continue;
    u16 value = f32_to_f16(c.random.ordinary());
    memcpy(data + at, &value, sizeof value);
  }
  return data;
}

// Codes of one sparsity, some rows with no zero and some with nothing else; all codes the largest or the least; or any bytes
// behind a table that is in order.
const u8* make_sparse(Checker& c, Format format, const Case& t, i64* bytes) {
  const bool largest = t.weights == 0x7f || t.weights == 0x80;
  if (t.weights == ORDINARY || largest) {
    static constexpr i32 SHARES[] = {0, 1, 10, 50, 80, 90, 99, 100};  // of zeros in 100
    const i32 share = SHARES[c.random.bits() % (sizeof SHARES / sizeof SHARES[0])];
    std::vector<i8> codes(static_cast<size_t>(t.rows) * static_cast<size_t>(t.cols));
    for (i32 row = 0; row < t.rows; row++) {
      const i32 own = c.random.one_in(9) ? 100 * c.random.between(0, 1) : largest ? 0 : share;
      for (i32 col = 0; col < t.cols; col++) {
        if (c.random.between(0, 99) < own) continue;
        codes[static_cast<size_t>(row) * static_cast<size_t>(t.cols) + static_cast<size_t>(col)] =
            static_cast<i8>(largest ? t.weights : c.random.between(-128, 127));
      }
    }
    SparseMatrix m = pack_sparse(format, codes.data(), t.rows, t.cols);
    *bytes = static_cast<i64>(m.data.size());
    u8* data = c.input<u8>(*bytes);
    memcpy(data, m.data.data(), m.data.size());
    return data;
  }
  std::vector<u32> places = {static_cast<u32>(sparse_table_bytes(t.rows) / SPARSE_ALIGNMENT)};
  for (i32 row = 0; row < t.rows; row += PANEL)
    places.push_back(places.back() + static_cast<u32>(c.random.between(0, t.cols / 2)));
  *bytes = places.back() * i64{SPARSE_ALIGNMENT} + SPARSE_TAIL;
  u8* data = c.input<u8>(*bytes);
  for (i64 i = 0; i < *bytes; i++)
    data[i] = static_cast<u8>(t.weights < 0 ? c.random.bits() : static_cast<u32>(t.weights));
  memcpy(data, places.data(), places.size() * sizeof places[0]);
  return data;
}

Matrix make_matrix(Checker& c, const MatmulSlot& slot, const Case& t) {
  i64 bytes = 0;
  const u8* data = sparse(slot.format) ? make_sparse(c, slot.format, t, &bytes) : make_weights(c, slot.format, t);
  i64 scale_values = scale_count(slot.scale, t.rows);
  const f32* scales = scale_values ? c.floats(scale_values, t.floats) : nullptr;
  return {slot.format, slot.scale, slot.activations, t.rows, t.cols, data, scales, bytes};
}

i8 code(Checker& c, Signs signs, i32 i) {
  bool plus = signs == Signs::plus || (signs == Signs::alternating && i % 2 == 0);
  return static_cast<i8>(signs == Signs::random ? c.random.between(-127, 127) : plus ? 127 : -127);
}

Activations make_activations(Checker& c, Quantization kind, const Case& t) {
  i32 stride = align_up(t.cols, COLUMN_PADDING) + COLUMN_PADDING * c.random.between(0, 1);
  if (kind == Quantization::none) {
    const f32* x = c.zero_padded(t.count, stride, t.cols, t.floats);
    return {.count = t.count, .stride = stride, .x = x, .q = nullptr, .scales = nullptr, .sums = nullptr};
  }
  i32 span = kind == Quantization::token ? stride : GROUP, spans = stride / span;
  i8* q = c.input<i8>(i64{t.count} * stride);
  f32* scales = c.input<f32>(i64{t.count} * spans);
  i32* sums = c.input<i32>(i64{t.count} * spans);
  for (i64 s = 0; s < i64{t.count} * spans; s++) {
    sums[s] = 0;
    for (i32 i = 0; i < span; i++) {
      i32 column = static_cast<i32>(s % spans) * span + i;
      i8 value = column < t.cols ? code(c, t.signs, column) : i8{0};
      q[s * span + i] = value;
      sums[s] += value;
    }
    bool padding = s % spans * span >= t.cols;
    scales[s] = padding ? 0.0f : t.floats == Fill::ordinary ? abs32(c.random.ordinary()) : c.random.hostile();
  }
  return {.count = t.count, .stride = stride, .x = nullptr, .q = q, .scales = scales, .sums = sums};
}

void check(Checker& c, const MatmulSlot& slot, const Case& t) {
  c.begin(slot.name, std::string(format_name(slot.format)) + ", " + std::to_string(t.rows) + " x " + std::to_string(t.cols) +
                         ", " + std::to_string(t.count) + " vectors, rows [" + std::to_string(t.row0) + ", " +
                         std::to_string(t.row1) + "), weights " + std::to_string(t.weights) + ", signs " +
                         std::to_string(static_cast<int>(t.signs)) + ", floats " +
                         std::to_string(static_cast<int>(t.floats)));
  Matrix w = make_matrix(c, slot, t);
  Activations a = make_activations(c, slot.activations, t);

  i32 padded = align_up(t.rows, PANEL);
  i64 stride = padded + c.random.between(0, 5);
  f32* y = c.new_output<f32>((t.count - 1) * stride + padded, Rule::keep);
  for (i32 v = 0; v < t.count; v++)
    c.rule(v * stride + t.row0, align_up(t.row1, PANEL) - t.row0, Rule::compare);
  c.run<Matmul>(slot.slot, [&](Matmul matmul) { matmul(w, a, y, stride, t.row0, t.row1); });
}

// A case of that size with everything else drawn.
Case draw(Random& random, i32 rows, i32 cols, i32 count) {
  i32 panels = div_up(rows, PANEL);
  i32 row0 = random.one_in(2) ? 0 : random.between(0, panels - 1) * PANEL;
  i32 row1 = random.one_in(2) ? rows : random.between(row0 + 1, rows);
  return {rows,
          cols,
          count,
          row0,
          row1,
          WEIGHT_FILLS[random.bits() % (sizeof WEIGHT_FILLS / sizeof WEIGHT_FILLS[0])],
          SIGNS[random.bits() % (sizeof SIGNS / sizeof SIGNS[0])],
          random.one_in(4) ? Fill::hostile : Fill::ordinary};
}

// The sums come as near to 2^31 as any file can bring them.
void check_overflow(Checker& c, const MatmulSlot& slot) {
  for (i32 weights : {0x00, 0x80, 0xff, ORDINARY}) {
    for (Signs signs : {Signs::minus, Signs::plus}) {
      if (c.quick() && (weights != 0x80 || signs != Signs::minus)) continue;
      check(c, slot, {5, MAX_COLUMNS, 1, 0, 5, weights, signs, Fill::ordinary});
    }
  }
}

void check_slot(Checker& c, const MatmulSlot& slot) {
  Random random(7);
  for (i32 cols = 1; cols <= 300; cols += c.quick() ? 13 : 1) {
    check(c, slot, draw(random, random.between(1, 40), cols, random.one_in(3) ? 1 : random.between(1, 20)));
  }
  for (i32 count = 1; count <= 20; count += c.quick() ? 3 : 1) {
    check(c, slot, draw(random, 40, random.between(1, 600), count));
    check(c, slot, draw(random, random.between(1, 100), random.between(1, 40), count));
  }
  for (i32 rows = 1; rows <= 40; rows += c.quick() ? 9 : 1)
    check(c, slot, draw(random, rows, random.between(200, 700), 2));
  if (!c.quick()) {
    for (i32 count : {1, 3, 9})
      check(c, slot, draw(random, 17, 2560, count));
    for (i32 count : {1, 5})
      check(c, slot, draw(random, 5, 6912, count));
    for (i32 count : {33, 63, 64, 65, 130})
      check(c, slot, draw(random, 20, random.between(500, 1100), count));
  }
  check_overflow(c, slot);
}

void check_row(Checker& c) {
  using Row = void (*)(const Matrix&, i32, f32*);
  Random random(11);
  for (const MatmulSlot& slot : SLOTS) {
    if (slot.slot != &Kernels::matmul_dequantized) continue;  // each format once a scale
    for (i32 cols = 1; cols <= 600; cols += c.quick() ? 61 : 3) {
      Case t = draw(random, random.between(1, 40), cols, 1);
      i32 index = random.between(0, t.rows - 1);
      c.begin("row", std::string(format_name(slot.format)) + ", row " + std::to_string(index) + " of " +
                         std::to_string(t.rows) + " x " + std::to_string(cols) + ", weights " + std::to_string(t.weights));
      Matrix w = make_matrix(c, slot, t);
      f32* out = c.new_output<f32>(cols);
      c.run<Row>(&Kernels::row, [&](Row row) { row(w, index, out); });
    }
  }
}

}  // namespace

void check_matmuls(Checker& c) {
  for (const MatmulSlot& slot : SLOTS) {
    if (c.wanted(slot.name)) check_slot(c, slot);
  }
  if (c.wanted("row")) check_row(c);
}

}  // namespace checker
