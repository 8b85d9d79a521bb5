// One branch of the residual stream, x = x + block(norm(x)). A model is a list of blocks; a kind of block is one file, whose
// opening comment is its equations. A block knows nothing of the others.
#pragma once
#include "arch/batch.h"

namespace edgellm {

struct Norm {
  enum class Kind : u8 { none, rms, layer };
  Kind kind = Kind::none;
  f32 eps = 0;
  const f32 *weight = nullptr, *bias = nullptr;  // null: 1 and 0
};

// y = norm(x) of n values; y may be x.
void normalise(const Kernels& kernels, const Norm& norm, const f32* x, i32 n, f32* y);

struct BlockKind;

struct Block {
  const BlockKind* kind = nullptr;
  const void* own = nullptr;  // the kind's sizes and weights, in the arena; read-only once loaded
  Norm norm;                  // before it
  const f32* bias = nullptr;  // (dim) of its branch, or null
  bool parallel = false;      // reads the x that the block before it read
  i32 layer = 0;
  i64 state_at = 0;  // of its part of a session's state, a multiple of 64
  i64 state_bytes = 0;
};

// What blocks of one model have in common.
struct Shape {
  i32 layers, dim, vocab;
  f32 norm_eps;
  bool layer_norm;            // the norms that no kind of block prescribes; otherwise RMS
  bool unit_norms;            // a norm without weights in the file still normalises
  const char* required_norm;  // the one of these that must be there; null: none
};

// A tensor that a block wants, and where to put it.
struct Tensor {
  const char* name;
  i32 rows, cols;  // a vector has no cols
  Matrix* matrix;  // or
  const f32** vector;

  Tensor(const char* tensor, i32 r, i32 c, Matrix* to) : name(tensor), rows(r), cols(c), matrix(to), vector(nullptr) {}
  Tensor(const char* tensor, i32 n, const f32** to) : name(tensor), rows(n), cols(0), matrix(nullptr), vector(to) {}
};

// What blocks need of the model's work buffers: the most that any of them does.
struct Needs {
  i64 scratch_bytes = 0;
  i32 widest = 0;           // input of a matrix
  bool zero_codes = false;  // there is a squared ReLU
};

// Where a block reads its part of the file and takes its memory. Tensors are named "layers.N.<name>", keys of the metadata as they
// are, or with the block's kind in front ("mamba2.heads"), which comes first where both are there.
struct Layer {
  const ModelFile& file;
  const Shape& shape;
  const Limits& limits;
  Span<const Rope> ropes;
  const BlockKind& kind;
  const Block* first;  // the model's first block of this kind; null for that one itself
  i32 index;
  Arena& arena;
  Needs& needs;

  template <int N>
  Status bind(const Tensor (&wanted)[N]) const {
    return bind_all({wanted, N}, false);
  }
  // The same, but what is absent stays null.
  template <int N>
  Status bind_optional(const Tensor (&wanted)[N]) const {
    return bind_all({wanted, N}, true);
  }
  // One that the file may leave out, of the file's kind; `<name>_bias` likewise.
  Status norm(const char* name, i32 count, Norm* norm) const;
  // One that must be there, of the kind that the block prescribes: a layer norm has a bias.
  Status norm(const char* name, i32 count, Norm::Kind kind, Norm* norm) const;

  // One number, or a list with one for each layer.
  Status number(const char* key, i32 low, i32 high, i32* value) const;
  Status number_or(const char* key, i32 fallback, i32 low, i32 high, i32* value) const;
  Status real(const char* key, f32 low, f32 high, f32* value) const;
  Status real_or(const char* key, f32 fallback, f32 low, f32 high, f32* value) const;

  // Fails unless both want the same input.
  Status same_input(const char* names, const Matrix& a, const Matrix& b) const;
  // The tensor "layers.N.<name>", or null.
  const TensorEntry* find(const char* name) const;

 private:
  Status bind_all(Span<const Tensor> wanted, bool optional) const;
};

struct BlockKind {
  const char* name;
  bool
      keeps_positions;  // its state holds something for every position: it is never zeroed, and sessions end with the context
  Status (*load)(const Layer& layer, Block* block);
  void (*start)(const Block& block, u8* state);   // at position 0, when its state has been zeroed; null: nothing more
  void (*run)(const Block& block, Batch& batch);  // opens, computes, leaves its result in batch.branch
};

// Per token: x += branch + bias of the block before, watched for values that are not finite; to = norm(x). A parallel block takes
// its norm before that sum.
void open(Batch& b, const Block& block, Rows to);
// The same into b.input, quantised for `w`.
void open(Batch& b, const Block& block, const Matrix& w);
// b.input = norm(rows), quantised for `w`.
void quantise(Batch& b, const Matrix& w, const Norm& norm, Rows rows);
// The sum alone, after the last block.
void close(Batch& b);

#define BLOCK(name) extern const BlockKind name##_block;
#include "arch/blocks.def"
#undef BLOCK

// The kind's own part of a block.
template <class Own>
const Own& own(const Block& block) {
  return *static_cast<const Own*>(block.own);
}

// A kind's own part goes into the arena. Work is the lay-out of its scratch: Work(arena, own part, tokens, threads).
template <class Work, class Own>
Status place(const Layer& layer, const Own& loaded, i64 state_bytes, Block* block) {
  Own* placed = layer.arena.take<Own>(1);
  if (placed) *placed = loaded;
  block->own = placed;
  block->state_bytes = state_bytes;
  Arena scratch;
  (void)Work(scratch, loaded, layer.limits.columns, layer.limits.threads);
  layer.needs.scratch_bytes = max(layer.needs.scratch_bytes, scratch.used());
  return {};
}

template <class Work, class Own>
Work lay_out(const Own& loaded, const Batch& b) {
  Arena scratch(b.scratch.data, b.scratch.count);
  return Work(scratch, loaded, b.count(), b.threads.count());
}

// A recurrent block's state of a session.
inline f32* state_of(const Block& block, u8* session) {
  return reinterpret_cast<f32*>(session + block.state_at);
}

}  // namespace edgellm
