// Inputs and digests of golden.h. Every input value is made of integers and exact steps, so that it needs no kernel and no
// library. NaN is hashed as one value, for payloads are not promised.
#include "golden.h"

#include "base/checksum.h"
#include "base/math.h"
#include "sparse.h"

namespace edgellm {

namespace {

// How floats are drawn: ordinary ones, or one in eight infinite, NaN, denormal or huge.
enum class Fill { ordinary, hostile };
constexpr Fill FILLS[] = {Fill::ordinary, Fill::hostile};

struct Run {
  const Kernels& k;
  Arena memory;
  u64 state;  // of the generator: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014
  Checksum hash = {};

  u32 bits() {
    state += 0x9e3779b97f4a7c15u;
    u64 z = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<u32>((z ^ (z >> 31)) >> 32);
  }

  // In [-1, 1), times a power of two in [1/8, 16].
  f32 ordinary() {
    u32 random = bits();
    f32 power = bits_to<f32>((124u + random % 8u) << 23);
    return (static_cast<f32>(random >> 8) * 0x1p-23f - 1.0f) * power;
  }

  f32 hostile() {
    static const u32 VALUES[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x80000000, 0x00000001,
                                 0x807fffff, 0x7f7fffff, 0xff7fffff, 0x42b17218, 0xc2aeac50};
    u32 random = bits();
    return random % 8 ? ordinary() : bits_to<f32>(VALUES[random / 8 % (sizeof VALUES / sizeof VALUES[0])]);
  }

  f32* floats(i64 n, Fill fill = Fill::ordinary) {
    f32* x = memory.take<f32>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = fill == Fill::ordinary ? ordinary() : hostile();
    return x;
  }

  f32* zeros(i64 n) {
    f32* x = memory.take<f32>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = 0;
    return x;
  }

  u8* bytes(i64 n) {
    u8* x = memory.take<u8>(n);
    for (i64 i = 0; i < n; i++)
      x[i] = static_cast<u8>(bits());
    return x;
  }

  void add(const f32* x, i64 n) {
    for (i64 i = 0; i < n; i++) {
      u32 value = x[i] != x[i] ? 0x7fc00000u : bits_to<u32>(x[i]);
      hash.update(&value, sizeof value);
    }
  }

  void add(const void* x, i64 n) { hash.update(x, n); }
};

// --- Matmul ----------------------------------------------------------------------------------------------------------------

constexpr i32 ROWS = 37, COLS = 300, STRIDE = 512, VECTORS = 3, PADDED_ROWS = 48;

// Float weights and the f16 scales inside a panel are kept ordinary; integer codes are any.
u8* weights(Run& run, Format format) {
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
u8* sparse_weights(Run& run) {
  u8* data = run.bytes(SPARSE_BYTES);
  u32* places = reinterpret_cast<u32*>(data);
  for (u32 i = 0; i <= PADDED_ROWS / PANEL; i++)
    places[i] = 1 + 50 * i;
  return data;
}

Matrix matrix(Run& run, Format format, Scale scale, Quantization kind) {
  const u8* data = sparse(format) ? sparse_weights(run) : weights(run, format);
  const f32* scales = scale == Scale::none ? nullptr : run.floats(scale_count(scale, ROWS));
  return {format, scale, kind, ROWS, COLS, data, scales, SPARSE_BYTES};
}

Activations activations(Run& run, Quantization kind) {
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

void run_matmul(Run& run, Matmul slot, Format format, Scale scale, Quantization kind) {
  Matrix w = matrix(run, format, scale, kind);
  Activations a = activations(run, kind);
  f32* y = run.zeros(VECTORS * PADDED_ROWS);
  slot(w, a, y, PADDED_ROWS, 0, 16);
  slot(w, a, y, PADDED_ROWS, 16, ROWS);
  run.add(y, VECTORS * PADDED_ROWS);
}

void golden_matmul_f32(Run& run) {
  run_matmul(run, run.k.matmul_f32, Format::F32, Scale::none, Quantization::none);
}

void golden_matmul_f16(Run& run) {
  run_matmul(run, run.k.matmul_f16, Format::F16, Scale::none, Quantization::none);
}

void golden_matmul_i8_token(Run& run) {
  run_matmul(run, run.k.matmul_i8_token, Format::I8, Scale::row, Quantization::token);
}

void golden_matmul_i8_group32(Run& run) {
  run_matmul(run, run.k.matmul_i8_group32, Format::I8, Scale::row, Quantization::group32);
}

void golden_matmul_i8_mask_token(Run& run) {
  run_matmul(run, run.k.matmul_i8_mask_token, Format::I8_MASK, Scale::row, Quantization::token);
}

void golden_matmul_i8_group_token(Run& run) {
  run_matmul(run, run.k.matmul_i8_group_token, Format::I8_GROUP, Scale::row, Quantization::token);
}

void golden_matmul_i4_group32(Run& run) {
  run_matmul(run, run.k.matmul_i4_group32, Format::I4, Scale::none, Quantization::group32);
}

void golden_matmul_t2_token(Run& run) {
  run_matmul(run, run.k.matmul_t2_token, Format::T2, Scale::tensor, Quantization::token);
  run_matmul(run, run.k.matmul_t2_token, Format::T2, Scale::row, Quantization::token);
}

void golden_matmul_t2_group32(Run& run) {
  run_matmul(run, run.k.matmul_t2_group32, Format::T2, Scale::tensor, Quantization::group32);
  run_matmul(run, run.k.matmul_t2_group32, Format::T2, Scale::row, Quantization::group32);
}

void golden_matmul_t2_group_group32(Run& run) {
  run_matmul(run, run.k.matmul_t2_group_group32, Format::T2_GROUP, Scale::none, Quantization::group32);
}

void golden_matmul_t5_token(Run& run) {
  run_matmul(run, run.k.matmul_t5_token, Format::T5, Scale::tensor, Quantization::token);
  run_matmul(run, run.k.matmul_t5_token, Format::T5, Scale::row, Quantization::token);
}

struct Kind {
  Format format;
  Scale scale;
};

constexpr Kind KINDS[] = {{Format::F32, Scale::none},    {Format::F16, Scale::none},     {Format::I8, Scale::row},
                          {Format::I4, Scale::none},     {Format::T2, Scale::row},       {Format::T2_GROUP, Scale::none},
                          {Format::I8_MASK, Scale::row}, {Format::I8_GROUP, Scale::row}, {Format::T5, Scale::row}};

void golden_matmul_dequantized(Run& run) {
  for (Kind kind : KINDS)
    run_matmul(run, run.k.matmul_dequantized, kind.format, kind.scale, Quantization::none);
}

void golden_row(Run& run) {
  for (Kind kind : KINDS) {
    Matrix w = matrix(run, kind.format, kind.scale, Quantization::none);
    f32* out = run.zeros(COLS);
    for (i32 index = 0; index < ROWS; index += 9) {
      run.k.row(w, index, out);
      run.add(out, COLS);
    }
  }
}

// --- Vectors ---------------------------------------------------------------------------------------------------------------

constexpr i32 N = 301;  // neither a multiple of 16 nor of 32

using Quantize = void (*)(const f32*, i32, i32, i8*, f32*, i32*);

void quantize(Run& run, Quantize slot, const f32* x, i32 spans) {
  i8* q = run.memory.take<i8>(STRIDE);
  f32* scales = run.zeros(spans);
  i32* sums = run.memory.take<i32>(spans);
  slot(x, N, STRIDE, q, scales, sums);
  run.add(q, STRIDE);
  run.add(scales, spans);
  run.add(sums, spans * i64{sizeof(i32)});
}

void run_quantize(Run& run, Quantize slot, i32 spans) {
  for (Fill fill : FILLS)
    quantize(run, slot, run.floats(N, fill), spans);
  f32* ties = run.zeros(N);  // every 32 channels hold a 127, so that the others lie half way between two codes
  for (i32 i = 0; i < N; i++)
    ties[i] = i % GROUP == 0 ? 127.0f : static_cast<f32>(i % 127 - 63) + 0.5f;
  quantize(run, slot, ties, spans);
}

void golden_quantize_token(Run& run) {
  run_quantize(run, run.k.quantize_token, 1);
}

void golden_quantize_group32(Run& run) {
  run_quantize(run, run.k.quantize_group32, STRIDE / GROUP);
}

void golden_rms_norm(Run& run) {
  f32 *x = run.floats(N), *weight = run.floats(N), *y = run.zeros(N);
  run.k.rms_norm(x, weight, 1e-5f, N, y);
  run.add(y, N);
  run.k.rms_norm(x, nullptr, 1e-6f, N, y);
  run.add(y, N);
}

void golden_layer_norm(Run& run) {
  f32 *x = run.floats(N), *weight = run.floats(N), *bias = run.floats(N), *y = run.zeros(N);
  run.k.layer_norm(x, weight, bias, 1e-5f, N, y);
  run.add(y, N);
  run.k.layer_norm(x, weight, nullptr, 1e-5f, N, y);
  run.add(y, N);
  run.k.layer_norm(x, nullptr, nullptr, 1e-5f, N, y);
  run.add(y, N);
}

void run_rope(Run& run, void (*slot)(f32*, const f32*, const f32*, i32)) {
  for (i32 pairs = 1; pairs <= 64; pairs += 21) {
    f32 *head = run.floats(pairs * 2), *cosine = run.floats(pairs), *sine = run.floats(pairs);
    slot(head, cosine, sine, pairs);
    run.add(head, pairs * 2);
  }
}

void golden_rope_half(Run& run) {
  run_rope(run, run.k.rope_half);
}

void golden_rope_interleaved(Run& run) {
  run_rope(run, run.k.rope_interleaved);
}

void run_gate(Run& run, void (*slot)(const f32*, const f32*, i32, f32*)) {
  for (Fill fill : FILLS) {
    f32 *gate = run.floats(N, fill), *up = run.floats(N), *y = run.zeros(N);
    slot(gate, up, N, y);
    run.add(y, N);
  }
}

void golden_silu_gate(Run& run) {
  run_gate(run, run.k.silu_gate);
}

void golden_relu2_gate(Run& run) {
  run_gate(run, run.k.relu2_gate);
}

void golden_add(Run& run) {
  f32 *x = run.floats(N), *y = run.floats(N, Fill::hostile);
  run.k.add(x, y, N);
  run.add(x, N);
}

void golden_softmax(Run& run) {
  for (i32 n = 1; n <= N; n += 50) {
    f32* x = run.floats(n);
    run.k.softmax(x, n);
    run.add(x, n);
  }
}

void golden_argmax(Run& run) {
  for (Fill fill : FILLS) {
    i32 best = run.k.argmax(run.floats(N, fill), N);
    run.add(&best, sizeof best);
  }
}

void golden_all_finite(Run& run) {
  for (Fill fill : FILLS) {
    u8 finite = run.k.all_finite(run.floats(N, fill), N);
    run.add(&finite, 1);
  }
}

// --- Attention -------------------------------------------------------------------------------------------------------------

constexpr i32 SLOTS = 48, HEAD_DIM = 100, HEAD_PADDED = 112, HEADS = 3, FIRST = 5, COUNT = 37, SCORE_STRIDE = 64;
constexpr i64 K_VALUES = SLOTS * HEAD_PADDED;

// An empty cache of values of `size` bytes.
KvHead cache(Run& run, i64 size) {
  u8* k = reinterpret_cast<u8*>(run.zeros(K_VALUES * size / 4));
  u8* v = reinterpret_cast<u8*>(run.zeros(K_VALUES * size / 4));
  return {HEAD_DIM, HEAD_PADDED, k, v, run.zeros(SLOTS), run.zeros(SLOTS)};
}

void fill_cache(Run& run, void (*store)(const f32*, const f32*, i32, const KvHead&), const KvHead& kv) {
  for (i32 slot = 0; slot < SLOTS; slot++) {
    Arena mark = run.memory;
    const f32 *k = run.floats(HEAD_DIM), *v = run.floats(HEAD_DIM);
    store(k, v, slot, kv);
    run.memory = mark;
  }
}

void run_store(Run& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  run.add(kv.k, K_VALUES * size);
  run.add(kv.v, K_VALUES * size);
  run.add(kv.k_scale, SLOTS);
  run.add(kv.v_scale, SLOTS);
}

void golden_store_i8(Run& run) {
  run_store(run, run.k.store_i8, 1);
}

void golden_store_f16(Run& run) {
  run_store(run, run.k.store_f16, 2);
}

void golden_store_f32(Run& run) {
  run_store(run, run.k.store_f32, 4);
}

Queries queries(Run& run) {
  f32* x = run.zeros(HEADS * HEAD_PADDED);
  i8* q = reinterpret_cast<i8*>(run.zeros(HEADS * HEAD_PADDED / 4));
  f32* scales = run.floats(HEADS);
  i32* sums = run.memory.take<i32>(HEADS);
  for (i32 h = 0; h < HEADS; h++) {
    sums[h] = 0;
    for (i32 d = 0; d < HEAD_DIM; d++) {
      i32 value = static_cast<i32>(run.bits() % 255) - 127;
      x[h * HEAD_PADDED + d] = run.ordinary();
      q[h * HEAD_PADDED + d] = static_cast<i8>(value);
      sums[h] += value;
    }
  }
  return {HEADS, HEAD_PADDED, x, q, scales, sums};
}

void run_scores(Run& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size,
                void (*slot)(const Queries&, const KvHead&, i32, i32, f32*, i64)) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  Queries q = queries(run);
  f32* scores = run.zeros(HEADS * SCORE_STRIDE);
  slot(q, kv, FIRST, COUNT, scores, SCORE_STRIDE);
  for (i32 h = 0; h < HEADS; h++)
    run.add(scores + h * SCORE_STRIDE, COUNT);
}

void golden_scores_i8(Run& run) {
  run_scores(run, run.k.store_i8, 1, run.k.scores_i8);
}

void golden_scores_f16(Run& run) {
  run_scores(run, run.k.store_f16, 2, run.k.scores_f16);
}

void golden_scores_f32(Run& run) {
  run_scores(run, run.k.store_f32, 4, run.k.scores_f32);
}

void run_values(Run& run, void (*store)(const f32*, const f32*, i32, const KvHead&), i64 size,
                void (*slot)(const f32*, i64, i32, const KvHead&, i32, i32, f32*, i64)) {
  KvHead kv = cache(run, size);
  fill_cache(run, store, kv);
  const f32* p = run.floats(HEADS * SCORE_STRIDE);
  f32* out = run.zeros(HEADS * HEAD_PADDED);
  slot(p, SCORE_STRIDE, HEADS, kv, FIRST, COUNT, out, HEAD_PADDED);
  run.add(out, HEADS * HEAD_PADDED);
}

void golden_values_i8(Run& run) {
  run_values(run, run.k.store_i8, 1, run.k.values_i8);
}

void golden_values_f16(Run& run) {
  run_values(run, run.k.store_f16, 2, run.k.values_f16);
}

void golden_values_f32(Run& run) {
  run_values(run, run.k.store_f32, 4, run.k.values_f32);
}

// --- Recurrences -----------------------------------------------------------------------------------------------------------

void golden_mix(Run& run) {
  f32 *x = run.floats(N), *other = run.floats(N), *share = run.floats(N), *y = run.zeros(N);
  run.k.mix(x, other, share, N, y);
  run.add(y, N);
}

void golden_multiply(Run& run) {
  run_gate(run, run.k.multiply);
}

void golden_add_scaled(Run& run) {
  f32 *x = run.floats(N), *y = run.floats(N);
  run.k.add_scaled(x, y, 0.7f, N);
  run.add(x, N);
}

void golden_sigmoid(Run& run) {
  for (Fill fill : FILLS) {
    f32 *x = run.floats(N, fill), *bias = run.floats(N), *y = run.zeros(N);
    run.k.sigmoid(x, nullptr, N, y);
    run.add(y, N);
    run.k.sigmoid(x, bias, N, y);
    run.add(y, N);
  }
}

void golden_softplus(Run& run) {
  for (Fill fill : FILLS) {
    f32 *x = run.floats(N, fill), *bias = run.floats(N), *y = run.zeros(N);
    run.k.softplus(x, nullptr, N, y);
    run.add(y, N);
    run.k.softplus(x, bias, N, y);
    run.add(y, N);
  }
}

void run_elementwise(Run& run, void (*slot)(const f32*, i32, f32*)) {
  for (Fill fill : FILLS) {
    f32 *x = run.floats(N, fill), *y = run.zeros(N);
    slot(x, N, y);
    run.add(y, N);
  }
}

void golden_tanh(Run& run) {
  run_elementwise(run, run.k.tanh);
}

void golden_relu2(Run& run) {
  run_elementwise(run, run.k.relu2);
}

void golden_gelu(Run& run) {
  run_elementwise(run, run.k.gelu);
}

void golden_wkv4(Run& run) {
  const f32 *bonus = run.floats(N), *rate = run.floats(N);
  f32 *state = run.floats(3 * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    const f32 *k = run.floats(N), *v = run.floats(N);
    run.k.wkv4(k, v, bonus, rate, N, state, y);
    run.add(y, N);
  }
  run.add(state, 3 * N);
}

void golden_wkv7(Run& run) {
  for (i32 n = 5; n <= 64; n += 59) {
    f32 *state = run.floats(n * n), *y = run.zeros(n);
    Wkv7 h = {.n = n,
              .r = {},
              .w = {},
              .k = {},
              .v = {},
              .a = {},
              .k_k = run.floats(n),
              .k_a = run.floats(n),
              .r_k = run.floats(n)};
    for (i32 step = 0; step < 3; step++) {
      h.r = run.floats(n), h.w = run.floats(n), h.k = run.floats(n), h.v = run.floats(n), h.a = run.floats(n);
      f32 bonus = run.k.wkv7(h, state, y);
      run.add(y, n);
      run.add(&bonus, 1);
    }
    run.add(state, n * n);
  }
}

void golden_conv_silu(Run& run) {
  for (i32 taps = 1; taps <= 4; taps++) {
    const f32 *weight = run.floats(taps * STRIDE), *bias = run.floats(N);
    f32 *state = run.floats(3 * N), *y = run.zeros(N);
    for (i32 step = 0; step < 5; step++) {
      run.k.conv_silu({N, taps, STRIDE, weight, step < 4 ? bias : nullptr}, run.floats(N), state, y);
      run.add(y, N);
    }
    run.add(state, 3 * N);
  }
}

void golden_scan(Run& run) {
  constexpr i32 STATES = 5;
  f32 *rate = run.floats(STATES * STRIDE), *dt = run.zeros(N);
  for (i32 i = 0; i < STATES * STRIDE; i++)
    rate[i] = -abs32(rate[i]);
  const f32* skip = run.floats(N);
  f32 *state = run.floats(STATES * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    for (i32 i = 0; i < N; i++)
      dt[i] = abs32(run.ordinary()) * 0x1p-3f;
    const f32 *x = run.floats(N), *b = run.floats(STATES), *c = run.floats(STATES);
    run.k.scan({N, STATES, STRIDE, rate, skip, x, dt, b, c}, state, y);
    run.add(y, N);
  }
  run.add(state, STATES * N);
}

void golden_retain(Run& run) {
  constexpr i32 KEYS = 7;
  f32 *state = run.floats(KEYS * N), *y = run.zeros(N);
  for (i32 step = 0; step < 3; step++) {
    const f32 *k = run.floats(KEYS), *q = run.floats(KEYS), *v = run.floats(N);
    run.k.retain({KEYS, N, k, q, v, 0.9f, 0.3f}, state, y);
    run.add(y, N);
  }
  run.add(state, KEYS * N);
}

// --- The list --------------------------------------------------------------------------------------------------------------

struct Golden {
  const char* name;
  u64 expected;
  void (*run)(Run&);
};

constexpr Golden LIST[] = {
#define GOLDEN(name, digest) {#name, digest, golden_##name},
#include "golden.def"
#undef GOLDEN
};
constexpr i32 COUNT_OF_LIST = static_cast<i32>(sizeof LIST / sizeof LIST[0]);

#define KERNEL(result, name, arguments) +1
static_assert(COUNT_OF_LIST == 0
#include "kernels.def"
              ,
              "golden.def has a line for every kernel");
#undef KERNEL

}  // namespace

const char* golden_name(i32 index) {
  return index >= 0 && index < COUNT_OF_LIST ? LIST[index].name : nullptr;
}

u64 golden_expected(i32 index) {
  return LIST[index].expected;
}

u64 golden_digest(const Kernels& k, i32 index, Arena memory) {
  Text name(LIST[index].name);
  Run run = {k, memory, checksum(name.data, name.size)};
  LIST[index].run(run);
  return run.hash.value();
}

}  // namespace edgellm
