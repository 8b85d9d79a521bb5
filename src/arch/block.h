// One branch of the residual stream, x = x + block(norm(x)). A model is a list of blocks; a kind of block is one file, whose
// opening comment is its equations. A block knows nothing of the others.
#pragma once
#include "arch/batch.h"
#include "file/layer_reader.h"

namespace edgellm {

struct Norm {
  enum class Kind : u8 { rms, layer, none };
  Kind kind = Kind::none;
  f32 eps = 0;
  const f32 *weight = nullptr, *bias = nullptr;  // null: 1 and 0
};
constexpr Norm NO_NORM;

// y = norm(x) of n values; y may be x.
void normalise(const Kernels& kernels, const Norm& norm, const f32* x, i32 n, f32* y);

struct BlockKind;

struct Block {
  const BlockKind* kind = nullptr;
  const void* own = nullptr;  // the kind's sizes and weights, in the arena; read-only once loaded
  void* work = nullptr;       // the kind's lay-out of the scratch, in the arena
  void (*lay_out)(const Block& block, const Limits& limits, Arena scratch) = nullptr;
  Norm norm;                  // before it
  const f32* bias = nullptr;  // (dim) of its branch, or null
  bool parallel = false;      // reads the x that the block before it read
  i32 layer = 0;
  i64 state_at = 0;     // offset of its part in a session's state
  i64 state_bytes = 0;  // both are multiples of 64
};

// What blocks of one model have in common.
struct Shape {
  i32 layers, dim, vocab;
  f32 norm_eps;
  Norm::Kind norm;            // the kind of norms that no block prescribes
  bool unit_norms;            // a norm without weights in the file still normalises
  const char* required_norm;  // the one of these that must be there; null: none

  bool requires_norm(Text name) const { return required_norm && name == required_norm; }
};

// What a block is loaded with: its layer of the file, the limits, the arena.
struct Layer : LayerReader {
  const Shape& shape;
  Span<const Rope> ropes;
  const Limits& limits;
  Arena& arena;
  const Block* first = nullptr;   // the model's first block of this kind; null for that one itself
  const Block* before = nullptr;  // the block before; an empty one for the model's first

  // What blocks need of the model's work buffers, noted as they are loaded; `widest` too.
  i64 scratch_bytes = 0;    // the most of one block
  bool zero_codes = false;  // there is a squared ReLU

  // A norm of the kind that the block prescribes; a layer norm has a bias. An optional one that is absent is none.
  Status required_norm(const char* name, i32 n, Norm::Kind kind, Norm* to) { return bind_norm(name, n, kind, false, to); }
  Status optional_norm(const char* name, i32 n, Norm::Kind kind, Norm* to) { return bind_norm(name, n, kind, true, to); }
  // One of the kind that the model has.
  Status model_norm(const char* name, i32 count, Norm* norm);

 private:
  Status bind_norm(const char* name, i32 count, Norm::Kind kind, bool optional, Norm* norm);
};

struct BlockKind {
  const char* name;
  bool keeps_positions = false;  // its state has a place for each position; nothing unwritten is read, so it is never zeroed
  Status (*load)(Layer& layer, Block* block);
  void (*start)(const Block& block, u8* state) = nullptr;  // at position 0, after its state was zeroed
  // Of a kind that keeps positions: the places of the first ones, between two sessions.
  void (*copy)(const Block& block, u8* from, i32 positions, u8* to) = nullptr;
  void (*run)(const Block& block, Batch& batch);  // opens, computes, leaves its result in batch.branch
};

// How a block begins. Per token: x += branch + bias of the block before, watched for values that are not finite; to = norm(x).
// A parallel block takes its norm before that sum.
void open(Batch& b, const Block& block, Rows to);
// The same into b.input, quantised for `w`.
void open(Batch& b, const Block& block, const Matrix& w);
// b.input = norm(rows), quantised for `w`.
void quantise(Batch& b, const Matrix& w, const Norm& norm, Rows rows);
// The sum alone, after the last block.
void add_last_branch(Batch& b);

#define BLOCK(name) extern const BlockKind name##_block;
#include "arch/blocks.def"
#undef BLOCK

// The kind's own part of a block, and its scratch.
template <class Own>
const Own& own(const Block& block) {
  return *static_cast<const Own*>(block.own);
}
template <class Work>
Work& work_of(const Block& block) {
  return *static_cast<Work*>(block.work);
}

// Puts a kind's own part into the arena. Work(arena, own part, tokens, threads) takes its scratch.
template <class Work, class Own>
Status place(Layer& layer, const Own& loaded, i64 state_bytes, Block* block) {
  Own* placed = layer.arena.take<Own>(1);
  if (placed) *placed = loaded;
  block->own = placed;
  block->work = layer.arena.take<Work>(1);
  block->lay_out = [](const Block& b, const Limits& limits, Arena scratch) {
    work_of<Work>(b) = Work(scratch, own<Own>(b), limits.tokens, limits.threads);
  };
  block->state_bytes = align_up(state_bytes, Arena::ALIGNMENT);
  Arena scratch;
  (void)Work(scratch, loaded, layer.limits.tokens, layer.limits.threads);
  layer.scratch_bytes = max(layer.scratch_bytes, scratch.used());
  return {};
}

// A recurrent block's state of a session.
inline f32* state_of(const Block& block, u8* session) {
  return reinterpret_cast<f32*>(session + block.state_at);
}

}  // namespace edgellm
