// What the recurrent families share: the residual stream of a batch from the embedding to the logits, and whose columns lie in
// it. A session's state is zero at position 0, so that going back there is a new beginning.
#pragma once
#include "arch/arch.h"
#include "arch/project.h"

namespace edgellm {

// Consecutive columns of a batch that belong to one session.
struct Stretch {
  u8* state;
  i32 first;  // column
  i32 count;
  bool fresh;  // starts at position 0: its state has just been zeroed
};

struct Stream {
  i32 dim, vocab;
  f32 norm_eps;
  bool layer_norm;              // else RMS
  Matrix embed, head;           // (vocab, dim)
  const f32 *norm, *norm_bias;  // (dim) before the head; the bias may be null

  // Work buffers, one row a column; row strides are the widths padded to a panel.
  i32 max_columns, max_logits;
  f32 *x, *branch;  // residual stream; what is to be added to it (dim)
  Input input;      // as wide as the widest of the family
  i32* ids;         // of the columns
  i32* positions;
  i32* bad_layers;     // the first layer after which the column is not finite, or -1
  i32* owners;         // index of its stretch
  i32* logit_columns;  // (max_logits) column of each logits row
  Stretch* stretches;  // at most one a column

  // Of the batch at hand.
  i32 columns, stretch_count, logits;

  i64 stride() const { return align_up(dim, PANEL); }
  f32* column(i32 c) const { return x + c * stride(); }
  f32* branch_of(i32 c) const { return branch + c * stride(); }

  // Embedding, head, final norm, and the model's description but for its layers and its state.
  Status load(const ModelFile& file, const Limits& limits, i32 widest, Arena& arena, Model* model);

  // Takes over the items, zeroes fresh states, looks up the embeddings.
  void begin(const Model& model, const Kernels& kernels, Threads& threads, Span<const Item> items);

  // y = norm(x), of the kind the family has.
  void normalise(const Kernels& kernels, const f32* x_column, const f32* weight, const f32* bias, f32* y) const;

  // x += branch; ends a layer: remembers where values are not finite.
  void add_branch(const Kernels& kernels, Threads& threads, i32 layer);

  // The logits, or the error that a value is not finite.
  Status finish(const Model& model, const Kernels& kernels, Threads& threads);
};

// Vectors of one width, one a column, of which each meets the one before it: the last of a stretch is kept in the session.
struct Shift {
  f32* rows;  // (columns, stride)
  i64 stride;

  f32* row(i32 c) const { return rows + c * stride; }
  // The vector before column c; `kept` is where the session's state has the last of the stretch before.
  const f32* before(const Stream& stream, i32 c, const f32* kept) const {
    return c == stream.stretches[stream.owners[c]].first ? kept : row(c - 1);
  }
};

}  // namespace edgellm
