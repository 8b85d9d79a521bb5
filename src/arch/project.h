// Matrix by batch: what all families share between their vectors and the kernels.
#pragma once
#include "arch/arch.h"
#include "base/arena.h"
#include "kernels.h"
#include "platform/threads.h"

namespace edgellm {

// The batch as weights want it: written one vector at a time, then read by all threads. One buffer serves every width.
struct Input {
  f32* x = nullptr;       // (columns, stride) the vectors
  i8* q = nullptr;        // (columns, stride) quantised
  f32* scales = nullptr;  // (columns, stride / 32)
  i32* sums = nullptr;    // (columns, stride / 32)
  bool f32_activations = false;
  i32 cols = 0;  // of the vectors in it now
  i32 stride = 0;
  Quantization kind = Quantization::none;

  void take(Arena& arena, i32 columns, i32 widest, bool keep_f32);

  // Announces vectors of `n` values for weights like `w`; done once, before the columns are written.
  void shape_for(const Matrix& w);
  f32* column(i32 c) const { return x + static_cast<i64>(c) * stride; }
  // Quantises column c, whose values the caller has put into column(c).
  void finish(const Kernels& kernels, i32 c) const;
  Activations view(i32 first, i32 count) const;
  // Adds the codes of the first `columns` columns, which are finished.
  void count_zeros(i32 columns, ZeroCodes* to) const;
};

struct Projection {
  const Matrix* w;
  f32* y;  // (count, stride), rows padded to a panel
  i64 stride;
  const Input* input = nullptr;  // null: the one that all share
};

// y = W x for each projection and each of the first `count` columns, rows spread over the threads.
void project(const Kernels& kernels, Threads& threads, const Input& input, i32 count, Span<const Projection> projections);

// Calls body(column) for each column, spread over the threads when there are several.
template <class Body>
void each_column(Threads& threads, i32 count, Body&& body) {
  if (count == 1) {
    body(0);
  } else {
    threads.run(count, [&](i32 column, i32) { body(column); });
  }
}

}  // namespace edgellm
