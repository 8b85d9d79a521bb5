// What a model file says of one layer. Tensors are named "layers.N.<name>". A whole number in the metadata is one for all layers or
// a list with one for each; a real one is one for all. A key counts as it is, or with the name of a block in front
// ("mamba2.heads"), which comes first where both are there.
#pragma once
#include "file/model_file.h"

namespace edgellm {

// A tensor that is wanted, and where to put it.
struct WantedTensor {
  const char* name;
  i32 rows, cols;            // a vector has no cols
  Matrix* matrix = nullptr;  // one of these two
  const f32** vector = nullptr;

  WantedTensor(const char* tensor, i32 r, i32 c, Matrix* to) : name(tensor), rows(r), cols(c), matrix(to) {}
  WantedTensor(const char* tensor, i32 n, const f32** to) : name(tensor), rows(n), cols(0), vector(to) {}
};

struct LayerReader {
  const ModelFile& file;
  i32 layers;
  i32 index = 0;           // of the layer
  const char* block = "";  // its name
  i32 widest = 0;          // columns of the matrices that were bound

  // Fails unless all are there.
  template <int N>
  Status bind(const WantedTensor (&wanted)[N]) {
    return bind_all({wanted, N}, false);
  }
  // What is absent stays null.
  template <int N>
  Status bind_optional(const WantedTensor (&wanted)[N]) {
    return bind_all({wanted, N}, true);
  }
  Status number(const char* key, i32 low, i32 high, i32* value) const;
  Status number_or(const char* key, i32 fallback, i32 low, i32 high, i32* value) const;
  Status real(const char* key, f32 low, f32 high, f32* value) const;
  Status real_or(const char* key, f32 fallback, f32 low, f32 high, f32* value) const;

  // Fails unless both matrices want the same input; `names` are theirs.
  Status same_input(const char* names, const Matrix& a, const Matrix& b) const;
  // Null when it is absent.
  const TensorEntry* find(const char* name) const;

 private:
  Status bind_all(Span<const WantedTensor> wanted, bool optional);
};

}  // namespace edgellm
