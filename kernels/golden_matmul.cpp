// Golden digests of matrices: products and single rows.
#include "golden_run.h"
#include "sparse.h"

namespace edgellm {

constexpr i32 ROWS = 37, COLS = 300, VECTORS = 3, PADDED_ROWS = 48;

// Float weights and the f16 scales inside a panel are kept ordinary; integer codes are any.
static u8* weights(GoldenRun& run, Format format) {
  i64 size = matrix_bytes(format, ROWS, COLS);
  u8* data = run.bytes(size);
  i64 unit = unit_bytes(format);
  if (format == Format::F32) {
    f32* values = run.floats(size / 4);
    __builtin_memcpy(data, values, static_cast<size_t>(size));
  }
  for (i64 at = 0; format == Format::F16 || format == Format::I4 || format == Format::T2_GROUP ? at < size : false;
       at += 2) {
    if (format != Format::F16 && at % unit >= 64) continue;  // codes
    u16 half = f32_to_f16(run.ordinary());
    __builtin_memcpy(data + at, &half, sizeof half);
  }
  return data;
}

// Any masks and weights, behind a table of panels of the same size.
constexpr i64 SPARSE_BYTES = 64 + 3 * 3200 + SPARSE_TAIL;
static u8* sparse_weights(GoldenRun& run) {
  u8* data = run.bytes(SPARSE_BYTES);
  u32* places = reinterpret_cast<u32*>(data);
  for (u32 i = 0; i <= PADDED_ROWS / PANEL; i++)
    places[i] = 1 + 50 * i;
  return data;
}

static Matrix matrix(GoldenRun& run, Format format, Scale scale, Quantization kind) {
  const u8* data = sparse(format) ? sparse_weights(run) : weights(run, format);
  const f32* scales = scale == Scale::none ? nullptr : run.floats(scale_count(scale, ROWS));
  return {format, scale, kind, ROWS, COLS, data, scales, SPARSE_BYTES};
}

static Activations activations(GoldenRun& run, Quantization kind) {
  i32 spans = kind == Quantization::token ? 1 : STRIDE / GROUP;
  f32* x = run.floats(VECTORS * STRIDE);
  i8* q = run.memory.take<i8>(VECTORS * STRIDE);
  f32* scales = run.zeros(VECTORS * spans);
  i32* sums = run.memory.take<i32>(VECTORS * spans);
  for (i32 v = 0; v < VECTORS; v++) {
    for (i32 s = 0; s < spans; s++)
      sums[v * spans + s] = 0;
    for (i32 c = 0; c < STRIDE; c++) {
      i32 value = c < COLS ? static_cast<i32>(run.bits() % 255) - 127 : 0, span = v * spans + (spans == 1 ? 0 : c / GROUP);
      if (c >= COLS) x[v * STRIDE + c] = 0;
      q[v * STRIDE + c] = static_cast<i8>(value);
      sums[span] += value;
      if (c < COLS && (spans == 1 ? c == 0 : c % GROUP == 0)) scales[span] = abs32(run.ordinary()) * 0x1p-5f;
    }
  }
  return {.count = VECTORS, .stride = STRIDE, .x = x, .q = q, .scales = scales, .sums = sums};
}

using Matmul = void (*)(const Matrix&, const Activations&, f32*, i64, i32, i32);

static void run_matmul(GoldenRun& run, Matmul slot, Format format, Scale scale, Quantization kind) {
  Matrix w = matrix(run, format, scale, kind);
  Activations a = activations(run, kind);
  f32* y = run.zeros(VECTORS * PADDED_ROWS);
  slot(w, a, y, PADDED_ROWS, 0, 16);
  slot(w, a, y, PADDED_ROWS, 16, ROWS);
  run.add(y, VECTORS * PADDED_ROWS);
}

void golden_matmul_f32(GoldenRun& run) {
  run_matmul(run, run.k.matmul_f32, Format::F32, Scale::none, Quantization::none);
}

void golden_matmul_f16(GoldenRun& run) {
  run_matmul(run, run.k.matmul_f16, Format::F16, Scale::none, Quantization::none);
}

void golden_matmul_i8_token(GoldenRun& run) {
  run_matmul(run, run.k.matmul_i8_token, Format::I8, Scale::row, Quantization::token);
}

void golden_matmul_i8_group32(GoldenRun& run) {
  run_matmul(run, run.k.matmul_i8_group32, Format::I8, Scale::row, Quantization::group32);
}

void golden_matmul_i8_mask_token(GoldenRun& run) {
  run_matmul(run, run.k.matmul_i8_mask_token, Format::I8_MASK, Scale::row, Quantization::token);
}

void golden_matmul_i8_group_token(GoldenRun& run) {
  run_matmul(run, run.k.matmul_i8_group_token, Format::I8_GROUP, Scale::row, Quantization::token);
}

void golden_matmul_i4_group32(GoldenRun& run) {
  run_matmul(run, run.k.matmul_i4_group32, Format::I4, Scale::none, Quantization::group32);
}

void golden_matmul_t2_token(GoldenRun& run) {
  run_matmul(run, run.k.matmul_t2_token, Format::T2, Scale::tensor, Quantization::token);
  run_matmul(run, run.k.matmul_t2_token, Format::T2, Scale::row, Quantization::token);
}

void golden_matmul_t2_group32(GoldenRun& run) {
  run_matmul(run, run.k.matmul_t2_group32, Format::T2, Scale::tensor, Quantization::group32);
  run_matmul(run, run.k.matmul_t2_group32, Format::T2, Scale::row, Quantization::group32);
}

void golden_matmul_t2_group_group32(GoldenRun& run) {
  run_matmul(run, run.k.matmul_t2_group_group32, Format::T2_GROUP, Scale::none, Quantization::group32);
}

void golden_matmul_t5_token(GoldenRun& run) {
  run_matmul(run, run.k.matmul_t5_token, Format::T5, Scale::tensor, Quantization::token);
  run_matmul(run, run.k.matmul_t5_token, Format::T5, Scale::row, Quantization::token);
}

constexpr struct {
  Format format;
  Scale scale;
} KINDS[] = {{Format::F32, Scale::none},    {Format::F16, Scale::none},     {Format::I8, Scale::row},
             {Format::I4, Scale::none},     {Format::T2, Scale::row},       {Format::T2_GROUP, Scale::none},
             {Format::I8_MASK, Scale::row}, {Format::I8_GROUP, Scale::row}, {Format::T5, Scale::row}};

void golden_matmul_dequantized(GoldenRun& run) {
  for (const auto& kind : KINDS)
    run_matmul(run, run.k.matmul_dequantized, kind.format, kind.scale, Quantization::none);
}

void golden_row(GoldenRun& run) {
  for (const auto& kind : KINDS) {
    Matrix w = matrix(run, kind.format, kind.scale, Quantization::none);
    f32* out = run.zeros(COLS);
    for (i32 index = 0; index < ROWS; index += 9) {
      run.k.row(w, index, out);
      run.add(out, COLS);
    }
  }
}

}  // namespace edgellm
