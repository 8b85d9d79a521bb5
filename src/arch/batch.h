// One forward pass: its tokens, whose they are, and the rows that blocks compute from them. It is the only thing that changes
// while a model runs.
#pragma once
#include "arch/model.h"
#include "arch/rope.h"

namespace edgellm {

struct Block;

// One row for each token.
template <class T>
struct RowsOf {
  T* data = nullptr;
  i64 stride = 0;  // the width, padded to 64 bytes: whole panels of floats

  RowsOf() = default;
  RowsOf(T* first, i64 step) : data(first), stride(step) {}
  RowsOf(Arena& arena, i32 rows, i64 width) {
    stride = align_up<i64>(width, 64 / sizeof(T));
    data = arena.take<T>(rows * stride);
  }
  T* operator[](i32 row) const { return data + row * stride; }
};

using Rows = RowsOf<f32>;
static_assert(PANEL * sizeof(f32) == 64);

// Consecutive tokens of one session.
struct Run {
  u8* state;  // of the session
  i32 first;  // token
  i32 count;  // of tokens
};

struct Token {
  i32 run;  // index
  i32 position;
  i32 id;
  i32 bad_layer;  // the first after which x is not finite, or -1
};

// The rows that a matrix reads, in the form that it wants. Written one token at a time, then read by all threads.
struct Input {
  f32* x = nullptr;       // (tokens, stride)
  i8* q = nullptr;        // (tokens, stride) quantised
  f32* scales = nullptr;  // (tokens, stride / 32)
  i32* sums = nullptr;    // (tokens, stride / 32)
  i32 width = 0;          // of the rows in it now
  i32 stride = 0;
  Quantization kind = Quantization::none;

  Input() = default;
  // Room for rows of any matrix with at most `widest` columns.
  Input(Arena& arena, i32 tokens, i32 widest);
  // Sets width and quantisation for the inputs of `w`; once, before rows are written.
  void begin(const Matrix& w, bool f32_activations);
  f32* row(i32 token) const { return x + static_cast<i64>(token) * stride; }
  // Quantises a row that has been written.
  void quantise(const Kernels& kernels, i32 token) const;
  Activations view(i32 count) const;
};

// What a model takes at start and every pass uses anew.
struct Buffers {
  i32 dim;
  bool f32_activations;
  Span<const Rope> ropes;
  Rows x;            // residual stream (dim)
  Rows branch;       // (dim) what a block gives, not yet added to x
  Input input;       // of one projection at a time
  Span<u8> scratch;  // of one block at a time: nothing in it survives a block
  ZeroCodes* zeros = nullptr;
};

struct Batch : Buffers {
  const Kernels& kernels;
  Threads& threads;
  Span<Token> tokens;
  Span<const Run> runs;
  const Block* last = nullptr;  // the block whose `branch` is not yet added to x; null before the first

  i32 count() const { return static_cast<i32>(tokens.count); }
};

// Calls body(token) for each token, spread over the threads when there are several.
template <class Body>
void each_token(const Batch& b, const Body& body) {
  if (b.tokens.count == 1) {
    body(0);
  } else {
    b.threads.run(b.count(), [&](i32 token, i32) { body(token); });
  }
}

// Calls body(run, at, n) for each run and each slice of at most `size` channels, [at, at + n), spread over the threads.
template <class Body>
void each_slice(const Batch& b, i32 channels, i32 size, const Body& body) {
  const i32 slices = div_up(channels, size);
  b.threads.run(static_cast<i32>(b.runs.count) * slices, [&](i32 chunk, i32) {
    const i32 at = chunk % slices * size;
    body(b.runs[chunk / slices], at, min(size, channels - at));
  });
}

// b.input = the rows that write(token, row) writes, quantised for `w`.
template <class Write>
void quantise(Batch& b, const Matrix& w, const Write& write) {
  b.input.begin(w, b.f32_activations);
  each_token(b, [&](i32 token) {
    write(token, b.input.row(token));
    b.input.quantise(b.kernels, token);
  });
}

// The same where body(run, at, n) writes a slice of the rows of a run.
template <class Body>
void quantise_slices(Batch& b, const Matrix& w, i32 size, const Body& body) {
  b.input.begin(w, b.f32_activations);
  each_slice(b, w.cols, size, body);
  each_token(b, [&](i32 token) { b.input.quantise(b.kernels, token); });
}

struct Projection {
  const Matrix* w;
  Rows y;                        // (rows of w)
  const Input* input = nullptr;  // null: b.input
};

// y = W input for each projection and each token, rows spread over the threads.
void project_all(const Batch& b, Span<const Projection> projections);

template <int N>
void project(const Batch& b, const Projection (&projections)[N]) {
  project_all(b, {projections, N});
}

inline void project(const Batch& b, const Matrix& w, Rows y) {
  project(b, {{&w, y}});
}

inline void add_bias(const Batch& b, f32* y, const f32* bias, i32 n) {
  if (bias) b.kernels.add(y, bias, n);
}

// Adds the codes of b.input to b.zeros, if somebody asked for it.
void count_zeros(const Batch& b);

}  // namespace edgellm
