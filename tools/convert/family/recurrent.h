// The recurrent families of docs/FILE.md as lists of tensors: names of sources, checks of shapes and models of random weights
// all come from them.
#pragma once
#include "convert/base/fields.h"
#include "convert/base/model.h"
#include "convert/source/weights.h"

namespace edgellm::convert {

// What becomes of a source's values.
enum class Change {
  none,
  transposed,  // stored as (cols, rows); for small matrices
  complement,  // 1 - x
  rate,        // -exp(x)
  transposed_rate,
};

struct Part {
  std::string ours;    // docs/FILE.md
  std::string theirs;  // in the source
  Role role;
  i64 rows, cols;  // as stored, once changed; a vector of ours is one row of them all
  Change change = Change::none;
  f32 factor = 1;  // of values that do not change otherwise
  f32 mean = 0,
      deviation = 0;  // of our values in a model of random weights; 0, 0: as large as what they are given, matrices only
};

// Lists the parts of a model, with a prefix for those of a layer.
class Parts {
 public:
  explicit Parts(std::vector<Part>* list) : list_(list) {}
  void prefix(std::string ours, std::string theirs) { ours_ = std::move(ours), theirs_ = std::move(theirs); }
  Part& add(const std::string& ours, const std::string& theirs, Role role, i64 rows, i64 cols);
  Part& vector(const std::string& ours, const std::string& theirs, i64 n, f32 mean, f32 deviation,
               Change change = Change::none);
  Part& matrix(const std::string& ours, const std::string& theirs, i64 rows, i64 cols);

 private:
  std::vector<Part>* list_;
  std::string ours_, theirs_;
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

// Throws where the configuration names another size than the tensors have; one that it does not name is theirs.
void check_agrees(const Fields& config, const char* key, i64 found);

// The size of dimension `index` of a tensor that must be there.
i64 size_of(const StoredTensors& stored, const std::string& name, size_t index, const std::string& source);

}  // namespace edgellm::convert
