// kernel_checker --bench: how fast each set is. One vector goes over a matrix larger than the caches (what decoding does: GB/s
// is the figure to hold against the memory's), many vectors over as much of it as the time allows (what a prompt does).
// kernel_checker --passes N: only the matrix products, for a counter of instructions.
#include <time.h>

#include <cstdio>

#include "kernel_checker.h"

namespace checker {

namespace {

constexpr i32 COLS = 2560;
constexpr i32 MANY = 32;       // vectors
constexpr f64 SECONDS = 0.25;  // a measurement

// The thread's own time: other programs on the machine count less than in the time of day.
f64 now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<f64>(time.tv_sec) + static_cast<f64>(time.tv_nsec) * 1e-9;
}

const MatmulSlot MATMULS[] = {
    {"matmul_f32", &Kernels::matmul_f32, Format::F32, Scale::none, Quantization::none},
    {"matmul_f16", &Kernels::matmul_f16, Format::F16, Scale::none, Quantization::none},
    {"matmul_i8_token", &Kernels::matmul_i8_token, Format::I8, Scale::row, Quantization::token},
    {"matmul_i8_group32", &Kernels::matmul_i8_group32, Format::I8, Scale::row, Quantization::group32},
    {"matmul_i4_group32", &Kernels::matmul_i4_group32, Format::I4, Scale::none, Quantization::group32},
    {"matmul_t2_token", &Kernels::matmul_t2_token, Format::T2, Scale::tensor, Quantization::token},
    {"matmul_t2_group32", &Kernels::matmul_t2_group32, Format::T2, Scale::row, Quantization::group32},
    {"matmul_t2_group_group32", &Kernels::matmul_t2_group_group32, Format::T2_GROUP, Scale::none, Quantization::group32},
    {"matmul_t5_token", &Kernels::matmul_t5_token, Format::T5, Scale::tensor, Quantization::token},
    {"matmul_dequantized", &Kernels::matmul_dequantized, Format::T2, Scale::row, Quantization::none},
};

// All the memory of a benchmark, made once.
struct Work {
  Timed weights;
  std::vector<f32> scales, x, y;
  std::vector<i8> q;
  std::vector<f32> activation_scales;
  std::vector<i32> sums;

  Work(i64 bytes, i64 rows) : weights(bytes) {
    Random random(1);
    u32* words = reinterpret_cast<u32*>(weights.bytes.data);
    for (i64 i = 0; i < bytes / 4; i++)
      words[i] = random.bits() & 0x3f3f3f3f;  // no NaN as f16 or f32
    scales.assign(static_cast<size_t>(align_up(rows, i64{PANEL})), 0.01f);
    y.resize(static_cast<size_t>(MANY * align_up(rows, i64{PANEL})));
    for (i32 i = 0; i < MANY * COLS; i++) {
      x.push_back(random.ordinary());
      q.push_back(static_cast<i8>(random.between(-127, 127)));
    }
    activation_scales.assign(MANY * COLS / GROUP, 0.01f);
    sums.resize(MANY * COLS / GROUP);
    for (size_t i = 0; i < q.size(); i++)
      sums[i / GROUP] += q[i];
  }
};
static_assert(COLS % COLUMN_PADDING == 0);

struct Rate {
  f64 bytes, weights, macs;  // a second
};

void call(Matmul slot, const MatmulSlot& b, Work& work, i32 rows, i32 count, i32 row0, i32 row1) {
  Matrix w = {b.format, b.scale, b.activations, rows, COLS, work.weights.bytes.data, work.scales.data()};
  Activations a = {count, COLS, work.x.data(), work.q.data(), work.activation_scales.data(), work.sums.data()};
  slot(w, a, work.y.data(), rows, row0, row1);
}

// Panels in turn, over and over, in pieces of 1024 rows, until the time is up.
Rate measure(Matmul slot, const MatmulSlot& b, Work& work, i32 rows, i32 count) {
  i32 piece = count == 1 ? 1024 : 128;
  call(slot, b, work, rows, count, 0, min(rows, PANEL));
  f64 start = now(), elapsed = 0;
  i64 done = 0;
  for (i32 row = 0; elapsed < SECONDS; row = row + piece < rows ? row + piece : 0) {
    i32 end = min(row + piece, rows);
    call(slot, b, work, rows, count, row, end);
    done += end - row;
    elapsed = now() - start;
  }
  f64 weights = static_cast<f64>(done) * COLS / elapsed;
  return {weights * unit_bytes(b.format) / (16.0 * unit_columns(b.format)), weights, weights * count};
}

void bench_matmuls(const std::vector<Set>& sets, const Options& options) {
  std::printf("%-24s %-12s %8s %10s %10s\n", "matrix, 2560 columns", "set", "GB/s", "Gweights/s", "GMAC/s x32");
  for (const MatmulSlot& b : MATMULS) {
    if (std::string(b.name).find(options.filter) == std::string::npos) continue;
    i64 panel = matrix_bytes(b.format, PANEL, COLS), panels = max(i64{1}, options.megabytes * 1000000 / panel);
    i32 rows = static_cast<i32>(panels * PANEL);
    Work work(panels * panel, rows);
    Matmul before = nullptr;
    for (const Set& set : sets) {
      Matmul slot = set.k.*b.slot;
      if (slot == before || (!options.isa.empty() && set.name != options.isa)) continue;
      before = slot;
      Rate one = measure(slot, b, work, rows, 1), many = measure(slot, b, work, rows, MANY);
      std::printf("%-24s %-12s %8.2f %10.2f %10.2f\n", b.name, set.name.c_str(), one.bytes * 1e-9, one.weights * 1e-9,
                  many.macs * 1e-9);
    }
  }
}

// Calls a kernel until the time is up; millions of elements a second.
template <class Call>
f64 elements(i64 count, Call call) {
  call();
  i64 done = 0;
  f64 start = now(), elapsed = 0;
  for (; elapsed < SECONDS; elapsed = now() - start) {
    for (i32 i = 0; i < 8; i++)
      call();
    done += 8 * count;
  }
  return static_cast<f64>(done) / elapsed * 1e-6;
}

struct VectorWork {
  std::vector<f32> x, y, w;
  std::vector<i8> q;
  std::vector<f32> scales;
  std::vector<i32> sums;
};

// Whether two sets have the same kernel in that slot.
bool same_slot(const char* name, const Kernels& a, const Kernels& b) {
#define KERNEL(result, slot, arguments) \
  if (strcmp(name, #slot) == 0) return a.slot == b.slot;
#include "kernels.def"
#undef KERNEL
  return false;
}

// One line a slot, unless the set before has the same kernel in it.
struct Table {
  const Options& options;
  const Set& set;
  const Set* before;

  template <class Call>
  void line(const char* name, i64 count, Call call) const {
    if (std::string(name).find(options.filter) == std::string::npos) return;
    if (before && same_slot(name, set.k, before->k)) return;
    std::printf("%-24s %-12s %8.0f\n", name, set.name.c_str(), elements(count, call));
  }
};

void bench_vectors(const Table& table) {
  const Kernels& k = table.set.k;
  constexpr i32 N = 2560;
  Random random(2);
  VectorWork v;
  for (i32 i = 0; i < N; i++) {
    v.x.push_back(random.ordinary());
    v.w.push_back(random.ordinary());
  }
  v.y = v.x;
  v.q.resize(N);
  v.scales.resize(N / GROUP);
  v.sums.resize(N / GROUP);
  const f32 *x = v.x.data(), *w = v.w.data();
  f32* y = v.y.data();
  auto line = [&](const char* name, auto call) { table.line(name, N, call); };
  line("quantize_token", [&] { k.quantize_token(x, N, N, v.q.data(), v.scales.data(), v.sums.data()); });
  line("quantize_group32", [&] { k.quantize_group32(x, N, N, v.q.data(), v.scales.data(), v.sums.data()); });
  line("rms_norm", [&] { k.rms_norm(x, w, 1e-5f, N, y); });
  line("layer_norm", [&] { k.layer_norm(x, w, w, 1e-5f, N, y); });
  line("rope_half", [&] { k.rope_half(y, w, x, N / 2); });
  line("rope_interleaved", [&] { k.rope_interleaved(y, w, x, N / 2); });
  line("silu_gate", [&] { k.silu_gate(x, w, N, y); });
  line("relu2_gate", [&] { k.relu2_gate(x, w, N, y); });
  line("gelu", [&] { k.gelu(x, N, y); });
  for (i32 i = 0; i < N; i++)
    y[i] = x[i];  // the turns above let it grow
  line("add", [&] { k.add(y, x, N); });
  for (i32 i = 0; i < N; i++)
    y[i] = x[i];
  line("softmax", [&] { k.softmax(y, N); });
  volatile i32 sink = 0;
  line("argmax", [&] { sink = k.argmax(x, N); });
  line("all_finite", [&] { sink = k.all_finite(x, N); });
}

// One kv head of 128 dims, 4 query heads, 1024 positions; an element is one multiplication.
void bench_attention(const Table& table) {
  const Kernels& k = table.set.k;
  constexpr i32 DIM = 128, SLOTS = 1024, HEADS = 4;
  struct alignas(64) Line {
    u8 bytes[64];
  };
  Random random(3);
  std::vector<Line> k_cache(SLOTS * DIM * 2 / 64), v_cache(SLOTS * DIM * 2 / 64);
  std::vector<f32> k_scale(SLOTS), v_scale(SLOTS), x(HEADS * DIM), scores(HEADS * (SLOTS + 16)), out(HEADS * DIM);
  std::vector<i8> q(HEADS * DIM);
  std::vector<i32> sums(HEADS);
  for (size_t i = 0; i < x.size(); i++) {
    x[i] = random.ordinary();
    q[i] = static_cast<i8>(random.between(-127, 127));
    sums[i / DIM] += q[i];
  }
  KvHead kv = {DIM, DIM, k_cache[0].bytes, v_cache[0].bytes, k_scale.data(), v_scale.data()};
  std::vector<f32> query_scales(HEADS, 0.01f);
  Queries queries = {HEADS, DIM, x.data(), q.data(), query_scales.data(), sums.data()};
  auto line = [&](const char* name, i64 count, auto call) { table.line(name, count, call); };
  auto fill = [&](auto store) {
    for (i32 slot = 0; slot < SLOTS; slot++)
      store(x.data() + slot % 3, x.data() + DIM + slot % 5, slot, kv);
  };
  i64 stride = SLOTS + 16, products = i64{HEADS} * SLOTS * DIM;
  line("store_i8", DIM, [&] { k.store_i8(x.data(), x.data(), 5, kv); });
  fill(k.store_i8);
  line("scores_i8", products, [&] { k.scores_i8(queries, kv, 0, SLOTS, scores.data(), stride); });
  for (f32& score : scores)
    score = 0.001f;
  line("values_i8", products, [&] { k.values_i8(scores.data(), stride, HEADS, kv, 0, SLOTS, out.data(), DIM); });
  line("store_f16", DIM, [&] { k.store_f16(x.data(), x.data(), 5, kv); });
  fill(k.store_f16);
  line("scores_f16", products, [&] { k.scores_f16(queries, kv, 0, SLOTS, scores.data(), stride); });
  for (f32& score : scores)
    score = 0.001f;
  line("values_f16", products, [&] { k.values_f16(scores.data(), stride, HEADS, kv, 0, SLOTS, out.data(), DIM); });
}

}  // namespace

void bench(const std::vector<Set>& sets, const Options& options) {
  bench_matmuls(sets, options);
  if (std::string("sparse").find(options.filter) != std::string::npos) bench_sparse(sets, options);
  std::printf("\n%-24s %-12s %8s\n", "vectors of 2560", "set", "M/s");
  for (size_t i = 0; i < sets.size(); i++) {
    if (!options.isa.empty() && sets[i].name != options.isa) continue;
    Table table = {options, sets[i], i > 0 && options.isa.empty() ? &sets[i - 1] : nullptr};
    bench_vectors(table);
    bench_attention(table);
  }
}

// Two runs that differ in the number of passes differ by the instructions of the passes.
void multiply(const std::vector<Set>& sets, const Options& options) {
  constexpr i32 ROWS = 256;
  for (const MatmulSlot& b : MATMULS) {
    if (std::string(b.name).find(options.filter) == std::string::npos) continue;
    Work work(matrix_bytes(b.format, ROWS, COLS), ROWS);
    for (i32 i = 0; i < options.passes; i++)
      call(sets.back().k.*b.slot, b, work, ROWS, options.vectors, 0, ROWS);
  }
  multiply_sparse(sets.back(), options);
}

}  // namespace checker
