// The tensors of a model as a table. A row gives a tensor's names in every source, its shape, whether it must be there, what
// becomes of its values, and what they are in a model of random weights. Each kind of block has a function that adds its rows
// (add_attention, add_ffn, add_mamba, ...); a family adds those of its blocks, layer by layer.
#pragma once
#include <map>

#include "convert/base/fields.h"
#include "convert/base/model.h"
#include "convert/source/weights.h"

namespace edgellm::convert {

enum class Naming { published, gguf };

// What sources call a tensor: the weights that its authors publish (Hugging Face, .pth, TMAC), llama.cpp, and other classes of Hugging
// Face. Empty: it has no such name.
struct Names {
  Names(std::string usual, std::string llama_cpp = "", std::string others = "")
      : published(std::move(usual)), gguf(std::move(llama_cpp)), other(std::move(others)) {}
  Names(const char* usual, const char* llama_cpp = "", const char* others = "")
      : Names(std::string(usual), std::string(llama_cpp), std::string(others)) {}
  std::string published, gguf, other;
};

enum class Presence {
  needed,
  optional,  // taken where it is there
  absent,    // other models of the family have it: a bias is left out, as transformers does, anything else is refused
};

// What becomes of a source's values.
enum class Change {
  none,
  transposed,  // stored as (cols, rows); for small matrices
  complement,  // 1 - x
  rate,        // -exp(x)
  transposed_rate,
};

struct Part {
  std::string ours;  // docs/FILE.md
  Names theirs;
  Role role;
  i64 rows, cols;  // as stored, once changed; a vector of ours is one row of them all
  Presence presence = Presence::needed;
  bool rotary = false;  // its rows are turned in pairs
  Change change = Change::none;
  f32 factor = 1;  // of values that do not change otherwise
  f32 mean = 0,
      deviation = 0;  // of our values in a model of random weights; 0, 0: as large as what they are given, matrices only
  std::vector<f32> computed = {};  // all its values; empty: a source has them

  std::vector<std::string> names(Naming naming) const;
};

// Lists the parts of a model, with a prefix for those of a layer.
class Parts {
 public:
  explicit Parts(std::vector<Part>* list) : list_(list) {}
  void prefix(std::string ours, Names theirs) { ours_ = std::move(ours), theirs_ = std::move(theirs); }
  Part& add(const std::string& ours, const Names& theirs, Role role, i64 rows, i64 cols);
  Part& vector(const std::string& ours, const Names& theirs, i64 n, f32 mean = 1, f32 deviation = 0.1f,
               Change change = Change::none);
  Part& matrix(const std::string& ours, const Names& theirs, i64 rows, i64 cols);
  void computed(const std::string& ours, std::vector<f32> values);

 private:
  std::vector<Part>* list_;
  std::string ours_;
  Names theirs_{""};
};

// One model of a family.
struct ModelTable {
  Metadata metadata;  // all keys
  i64 vocab = 0;
  std::vector<Part> parts;  // in the order of their tensors in the file
  std::string name;         // for people: what it is one of, "RWKV-7"
  std::optional<u32> bos = {};
  std::vector<u32> stop = {};
  bool ternary = false;  // of random weights: matrices are

  void size(const char* key, i64 value) { metadata.emplace_back(key, static_cast<u32>(value)); }
  void real(const char* key, f64 value) { metadata.emplace_back(key, static_cast<f32>(value)); }
  void word(const char* key, const char* value) { metadata.emplace_back(key, value); }
};

// Our name of a layer's tensor, "layers.3.attn_norm", or with no name the prefix of them all.
std::string layer_name(i64 layer, const char* tensor = "");

std::unique_ptr<Tensor> computed_tensor(const Part& part);

// All but the tensors.
Model model_of(const ModelTable& table);

// Its parts by our names, for sources that store tensors in an order of their own.
std::map<std::string, const Part*> parts_by_name(const ModelTable& table);

// How a source is walked.
struct Taking {
  Naming naming;
  std::string source;                    // for people
  std::vector<std::string> unused = {};  // ends of names that are passed over
  const char* settled = "";              // for people, behind what a model has: what says so
};
constexpr const char* BY_CONFIG = " with this config.json";

[[noreturn]] void refuse_missing(const Part& part, const ModelTable& table, const Taking& from);
void refuse_left(const std::string& name, const std::string& path, const ModelTable& table, const Taking& from);
void note_left_out(const std::vector<std::string>& names, const ModelTable& table, const Taking& from, Model* model);
void check_metadata(const Metadata& metadata, const std::string& source);

// Walks the table: open(part, name, tensor) makes a tensor of what `stored` has under one of a part's names. A part that is needed
// and not there is an error, as is a tensor that no part took.
template <class Stored, class Open>
Model take_parts(const ModelTable& table, const Taking& from, std::map<std::string, Stored>* stored, Open open) {
  check_metadata(table.metadata, from.source);
  Model model = model_of(table);
  std::vector<std::string> left_out;
  for (const Part& part : table.parts) {
    if (!part.computed.empty()) {
      model.tensors.push_back(computed_tensor(part));
      continue;
    }
    auto found = stored->end();
    for (const std::string& name : part.names(from.naming)) {
      if (found == stored->end()) found = stored->find(name);
    }
    const bool absent = part.presence == Presence::absent;
    if (found == stored->end()) {
      if (part.presence == Presence::needed) refuse_missing(part, table, from);
    } else if (absent && part.ours.ends_with("_bias")) {
      left_out.push_back(found->first);
      stored->erase(found);
    } else if (!absent) {
      const auto taken = stored->extract(found);
      model.tensors.push_back(open(part, taken.key(), taken.mapped()));
    }
  }
  for (const auto& left : *stored) {
    if constexpr (requires { left.second.file; }) {
      refuse_left(left.first, left.second.file->path, table, from);
    } else {
      refuse_left(left.first, from.source, table, from);
    }
  }
  note_left_out(left_out, table, from, &model);
  return model;
}

// Of floats, under the names of their authors; changed as the table says.
Model take_floats(const ModelTable& table, StoredTensors stored, const Taking& from);

Model random_model(const ModelTable& table);

// Throws where the configuration names another size than the tensors have; one that it does not name is theirs.
void check_agrees(const Fields& config, const char* key, i64 found);

// The size of dimension `index` of a tensor that must be there.
i64 size_of(const StoredTensors& stored, const std::string& name, size_t index, const std::string& source);

}  // namespace edgellm::convert
