// What `info` finds out about a model file before it tells any of it.
#pragma once
#include "cli/info.h"
#include "engine/engine.h"

namespace edgellm {

constexpr i32 SMALL_CONTEXT = 512;

struct Sum {
  i64 tensors = 0, weights = 0, bytes = 0;
};

struct Facts {
  const char* path;
  i64 file_bytes;  // of the file itself
  bool checked;    // it was read whole, and its checksum is right
  Span<u8> image;  // of a version 1 file: what it becomes in memory
  ModelFile file;
  Kernels kernels;
  Sum all, formats[FORMATS];
  i64 dense_bytes = 0;  // of all tensors, with i8 for sparse formats
  Span<i64> zeros;      // of each tensor; -1: it is none of integers; empty: nobody counted
  Sum integers;         // of the tensors whose zeros were counted
  i64 zeros_counted = 0;
  Engine engine;          // planned, with the default context
  i64 arena_bytes_small;  // what it would be with SMALL_CONTEXT positions; 0: that many cannot be held
  Status refused;         // why it cannot be run
};

// Opens options.model, adds up its tensors, and plans it as a run without a prompt would. Zeros are counted where all is to be told,
// or where that is quick.
Status open_facts(const Options& options, Facts* facts);

i64 weights_of(const TensorEntry& entry);

f64 share(i64 part, i64 whole);

}  // namespace edgellm
