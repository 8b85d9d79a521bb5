// kernel_checker --bench: sparse formats against i8 with the same zeros, on as many threads as are asked for, by the clock on the
// wall: of several passes over a matrix larger than the caches the best, the formats and plain reading taking turns.
// kernel_checker --passes N --zeros PERCENT: their products, for a counter of instructions.
#include <algorithm>
#include <cstdio>

#include "kernel_checker.h"
#include "platform/bandwidth.h"
#include "platform/clock.h"
#include "platform/threads.h"
#include "sparse_matrix.h"

namespace checker {

namespace {

constexpr i32 COLS = 2048;
constexpr i32 MANY = 32;         // vectors
constexpr i32 MANY_ROWS = 4096;  // that many vectors see
constexpr i32 PASSES = 12;
constexpr i32 ZEROS[] = {50, 70, 80, 90, 95};  // of 100 weights
constexpr Format FORMATS[] = {Format::I8, Format::I8_MASK, Format::I8_GROUP};
constexpr size_t COUNT = sizeof FORMATS / sizeof FORMATS[0];

struct Weights {
  Timed storage;
  Matrix w;

  Weights(Format format, i32 rows, const std::vector<i8>& codes, const f32* scales)
      : Weights(format, rows, packed(format, rows, codes), scales) {}

 private:
  Weights(Format format, i32 rows, const std::vector<u8>& data, const f32* scales)
      : storage(static_cast<i64>(data.size())),
        w{format, Scale::row, Quantization::token, rows, COLS, storage.bytes.data, scales, static_cast<i64>(data.size())} {
    memcpy(storage.bytes.data, data.data(), data.size());
  }

  static std::vector<u8> packed(Format format, i32 rows, const std::vector<i8>& codes) {
    if (sparse(format)) return pack_sparse(format, codes.data(), rows, COLS).data;
    std::vector<u8> dense(codes.size());
    pack_i8(codes.data(), rows, COLS, dense.data());
    return dense;
  }
};

struct Vectors {
  std::vector<i8> q;
  std::vector<f32> scales;
  std::vector<i32> sums;

  Vectors() : q(MANY * COLS), scales(MANY, 0.01f), sums(MANY) {
    Random random(1);
    for (size_t i = 0; i < q.size(); i++) {
      q[i] = static_cast<i8>(random.between(-127, 127));
      sums[i / COLS] += q[i];
    }
  }

  Activations activations(i32 count) const { return {count, COLS, nullptr, q.data(), scales.data(), sums.data()}; }
};

std::vector<i8> draw_codes(i32 rows, i32 zeros) {
  Random random(static_cast<u64>(zeros));
  std::vector<i8> codes(static_cast<size_t>(rows) * COLS);
  const u32 limit = static_cast<u32>((i64{zeros} << 32) / 100);
  for (i8& code : codes) {
    if (random.bits() >= limit) code = static_cast<i8>(random.one_in(2) ? random.between(1, 127) : random.between(-127, -1));
  }
  return codes;
}

using Matmul = void (*)(const Matrix&, const Activations&, f32*, i64, i32, i32);

Matmul slot_of(const Kernels& k, Format format) {
  return format == Format::I8        ? k.matmul_i8_token
         : format == Format::I8_MASK ? k.matmul_i8_mask_token
                                     : k.matmul_i8_group_token;
}

// Seconds of one pass over the first `rows` rows, spread as arch/project.cpp spreads them.
f64 pass(Threads& threads, const Kernels& k, const Matrix& w, const Activations& a, std::vector<f32>& y, i32 rows) {
  const i32 panels = div_up(rows, PANEL), chunk = max(1, panels / (threads.count() * 16));
  i64 start = now_ns();
  threads.run(div_up(panels, chunk), [&](i32 index, i32) {
    slot_of(k, w.format)(w, a, y.data(), rows, index * chunk * PANEL, min(rows, (index + 1) * chunk * PANEL));
  });
  return static_cast<f64>(now_ns() - start) * 1e-9;
}

void compare(const Set& set, const Weights (&weights)[COUNT], Activations a, Threads& threads, i32 zeros) {
  const i32 rows = weights[0].w.rows, many_rows = min(rows, MANY_ROWS);
  std::vector<f32> y(static_cast<size_t>(max(rows, MANY * many_rows)));
  f64 one[COUNT], many[COUNT], read = 0;
  std::fill(one, one + COUNT, 1e9);
  std::fill(many, many + COUNT, 1e9);
  for (i32 i = 0; i < PASSES; i++) {
    read = std::max(read, read_bandwidth(threads, {weights[0].w.data, weights[0].w.bytes}, 1));
    for (size_t f = 0; f < COUNT; f++) {
      a.count = 1;
      one[f] = std::min(one[f], pass(threads, set.k, weights[f].w, a, y, rows));
      if (i % 4) continue;
      a.count = MANY;
      many[f] = std::min(many[f], pass(threads, set.k, weights[f].w, a, y, many_rows));
    }
  }
  for (size_t f = 0; f < COUNT; f++) {
    f64 size = static_cast<f64>(rows) * COLS, macs = static_cast<f64>(many_rows) * COLS * MANY;
    std::printf("%-10s %-8s %5d %% %9.1f %% %12.1f %8.2f %8.1f %8.2f %12.1f %8.2f\n", format_name(FORMATS[f]),
                set.name.c_str(), zeros, 100 * static_cast<f64>(weights[f].w.bytes) / static_cast<f64>(weights[0].w.bytes),
                size / one[f] * 1e-9, one[0] / one[f], static_cast<f64>(weights[f].w.bytes) / one[f] * 1e-9,
                static_cast<f64>(weights[f].w.bytes) / one[f] / read, macs / many[f] * 1e-9, many[0] / many[f]);
  }
}

}  // namespace

void bench_sparse(const std::vector<Set>& sets, const Options& options) {
  Threads threads;
  if (!threads.start(options.threads).ok()) return;
  const i32 rows = static_cast<i32>(max(i64{1}, options.megabytes * 1000000 / (COLS * PANEL))) * PANEL;
  std::vector<f32> scales(static_cast<size_t>(rows), 0.01f);
  Vectors vectors;
  std::printf("%d x %d, %d threads\n%-10s %-8s %7s %11s %12s %8s %8s %8s %12s %8s\n", rows, COLS, threads.count(), "matrix",
              "set", "zeros", "bytes", "Gweights/s", "to i8", "GB/s", "of read", "GMAC/s x32", "to i8");
  for (i32 zeros : ZEROS) {
    const std::vector<i8> codes = draw_codes(rows, zeros);
    const Weights weights[COUNT] = {{FORMATS[0], rows, codes, scales.data()},
                                    {FORMATS[1], rows, codes, scales.data()},
                                    {FORMATS[2], rows, codes, scales.data()}};
    for (const Set& set : sets) {
      bool named = !options.isa.empty();
      if (named ? set.name == options.isa : set.name != "ref") compare(set, weights, vectors.activations(1), threads, zeros);
    }
  }
  threads.stop();
}

void multiply_sparse(const Set& set, const Options& options) {
  constexpr i32 ROWS = 256;
  std::vector<f32> scales(ROWS, 0.01f), y(ROWS * MANY);
  Vectors vectors;
  std::vector<i8> codes = draw_codes(ROWS, options.zeros);
  for (Format format : {Format::I8_MASK, Format::I8_GROUP}) {
    std::string name = std::string("matmul_") + format_name(format) + "_token";
    if (name.find(options.filter) == std::string::npos) continue;
    const Weights weights(format, ROWS, codes, scales.data());
    for (i32 i = 0; i < options.passes; i++)
      slot_of(set.k, format)(weights.w, vectors.activations(options.vectors), y.data(), ROWS, 0, ROWS);
  }
}

}  // namespace checker
