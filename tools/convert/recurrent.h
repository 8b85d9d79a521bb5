// The recurrent families of docs/FILE.md as lists of tensors: names of sources, checks of shapes and models of random weights
// all come from them.
#pragma once
#include "model.h"
#include "safetensors.h"

namespace edgellm::convert {

// What becomes of a source's values.
enum class Change {
  none,
  transposed,  // stored as (cols, rows); for small matrices
  complement,  // 1 - x
  rate,        // -exp(x)
};

struct Part {
  std::string ours;    // docs/FILE.md
  std::string theirs;  // in the source
  Role role;
  i64 rows, cols;  // a vector is one row
  Change change = Change::none;
  f32 mean = 0,
      deviation = 0;  // of our values in a model of random weights; 0, 0: as large as what they are given, matrices only
  bool optional = false;
};

struct Family {
  Metadata metadata;  // all keys
  i64 vocab;
  std::vector<Part> parts;
};

// Takes the tensors of all parts. One that is missing, has another shape, or is not in the list and does not end in one of the
// `unused`, is an error.
Model take_parts(const Family& family, StoredTensors stored, const std::string& source,
                 const std::vector<std::string>& unused = {});

Model random_model(const Family& family);

// The size of dimension `index` of a tensor that must be there.
i64 size_of(const StoredTensors& stored, const std::string& name, size_t index, const std::string& source);

}  // namespace edgellm::convert
