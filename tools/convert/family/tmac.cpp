// TMAC version 2, the first engine's other format: tensors under their Hugging Face names.
//
// "TMAC", u32 version, hidden_size, num_layers, num_heads, vocab_size, bits, group_size; then until the end of the file
//   u32 length, name, u32 length, dtype, u32 ndims, ndims x u32, u64 bytes, data, u64 bytes, f32 scales
//   bitnet  two bits a weight, four a byte, lowest first, 0 is -1, 1 is 0, 2 is +1, flat over the matrix; one scale a row.
//           The shape is that of the packed array, so rows = number of scales
//   int8    value = q * scale / 127, one scale a row
//   fp16    no scales
// The number of KV heads and the FFN size are not stored: they follow from the shapes of k_proj and gate_proj.
#include <cmath>
#include <map>

#include "convert/family/hf_names.h"
#include "convert/family/source.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

constexpr char MAGIC[4] = {'T', 'M', 'A', 'C'};
constexpr u32 VERSION = 2;
constexpr u32 MAX_TEXT = 256;
constexpr u32 MAX_DIMS = 8;

struct Stored {
  std::string dtype;
  std::vector<u32> shape;
  Bytes data, scales;

  i64 rows() const {
    if (dtype == "fp16") return shape.size() > 1 ? shape[0] : 1;
    return static_cast<i64>(scales.size / 4);
  }
};

f32 scale_at(const Stored& stored, i64 row) {
  f32 scale;
  std::memcpy(&scale, stored.scales.data + row * 4, 4);
  return scale;
}

class TmacTernary : public Tensor {
 public:
  TmacTernary(std::string tensor_name, const Expected& e, File file, const Stored& stored)
      : Tensor(std::move(tensor_name), *e.role, e.rows, e.cols), file_(std::move(file)), stored_(stored) {}

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 r = row; r < row + count; r++) {
      for (i64 c = 0; c < cols; c++)
        *out++ = scale_at(stored_, r) * static_cast<f32>(code(r * cols + c));
    }
  }

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::row}; }

  void codes(i64 row, i64 count, i8* out, f32* scales) const override {
    for (i64 i = row * cols; i < (row + count) * cols; i++)
      *out++ = code(i);
    for (i64 r = 0; r < count; r++) {
      scales[r] = scale_at(stored_, row + r);
      if (!std::isfinite(scales[r])) unusable(file_->path, ": ", name, ": the scale of row ", row + r, " is not finite");
    }
  }

 private:
  i8 code(i64 index) const {
    i32 bits = stored_.data.data[index / 4] >> (index % 4 * 2) & 3;
    if (bits == 3) unusable(file_->path, ": ", name, ": weight ", index, " has the code 3, which is no weight");
    return static_cast<i8>(bits - 1);
  }

  File file_;
  Stored stored_;
};

class TmacInt8 : public Tensor {
 public:
  TmacInt8(std::string tensor_name, const Expected& e, File file, const Stored& stored)
      : Tensor(std::move(tensor_name), *e.role, e.rows, e.cols), file_(std::move(file)), stored_(stored) {}

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 r = row; r < row + count; r++) {
      f32 scale = scale_at(stored_, r) / 127;
      for (i64 c = 0; c < cols; c++)
        *out++ = scale * static_cast<f32>(static_cast<i8>(stored_.data.data[r * cols + c]));
    }
  }

 private:
  File file_;
  Stored stored_;
};

std::string read_text(Cursor* from, const char* what) {
  u32 size = from->read<u32>(what);
  if (size > MAX_TEXT) unusable(from->file()->path, ": ", what, " of ", size, " bytes, at most ", MAX_TEXT);
  return from->take(size, what).text();
}

Stored read_tensor(Cursor* from, const std::string& name) {
  Stored stored;
  stored.dtype = read_text(from, "dtype");
  u32 dims = from->read<u32>(name);
  if (dims > MAX_DIMS) unusable(from->file()->path, ": ", name, " has ", dims, " dimensions, at most ", MAX_DIMS);
  for (u32 i = 0; i < dims; i++)
    stored.shape.push_back(from->read<u32>(name));
  stored.data = from->take(from->read<u64>(name), name);
  stored.scales = from->take(from->read<u64>(name), name + "'s scales");
  if (stored.scales.size % 4 != 0) unusable(from->file()->path, ": ", name, " has ", stored.scales.size, " bytes of scales");
  return stored;
}

using Table = std::map<std::string, Stored>;

Table read_table(Cursor* from) {
  Table table;
  while (from->left() > 0) {
    std::string name = read_text(from, "tensor name");
    if (!table.emplace(name, read_tensor(from, name)).second)
      unusable(from->file()->path, ": tensor ", name, " is there twice");
  }
  return table;
}

i64 rows_of(const Table& table, const char* name, const std::string& path) {
  auto found = table.find(name);
  if (found == table.end()) unusable(path, ": there is no tensor ", name);
  return found->second.rows();
}

std::unique_ptr<Tensor> make(const Rename& name, const Expected& e, const Stored& stored, const File& file) {
  auto size = [&](const char* what, u64 actual, u64 expected) {
    if (actual != expected) {
      unusable(file->path, ": ", name.theirs, " (", stored.dtype, ") has ", actual, " bytes of ", what, ", ", e.rows, " x ",
               e.cols, " need ", expected);
    }
  };
  const u64 count = static_cast<u64>(e.rows * e.cols);
  if (stored.dtype == "fp16") {
    size("data", stored.data.size, count * 2);
    return std::make_unique<FloatTensor>(name.ours, *e.role, e.rows, e.cols, file, stored.data, Dtype::F16);
  }
  size("scales", stored.scales.size, static_cast<u64>(e.rows) * 4);
  if (stored.dtype == "int8") {
    size("data", stored.data.size, count);
    return std::make_unique<TmacInt8>(name.ours, e, file, stored);
  }
  if (stored.dtype != "bitnet") unusable(file->path, ": ", name.theirs, " has the unknown dtype \"", stored.dtype, "\"");
  size("data", stored.data.size, div_up<u64>(count, 4));
  if (*e.role == Role::vector) unusable(file->path, ": ", name.theirs, " is ternary, expected fp16");
  return std::make_unique<TmacTernary>(name.ours, e, file, stored);
}

// What the file does not say is taken to be as in BitNet b1.58 2B4T or, for another vocabulary, as in Llama 2.
void assume(const Table& table, Transformer* t, Model* model) {
  bool llama3 = t->vocab >= 128256;
  t->relu2 = table.contains("model.layers.0.mlp.ffn_sub_norm.weight");
  t->context = 4096;
  t->rope.theta = llama3 ? 500000 : 10000;
  t->bos = llama3 ? 128000 : 1;
  t->stop = llama3 ? std::vector<u32>{128001, 128009} : std::vector<u32>{2};
  model->notes.push_back(text("the format does not say, so these are assumed: context 4096, rotary theta ", t->rope.theta,
                              ", half-split pairs, epsilon 1e-5, BOS ", *t->bos, ", gate ", t->relu2 ? "relu2" : "silu"));
}

}  // namespace

bool is_tmac(const std::string&, Bytes head) {
  return head.size >= sizeof MAGIC && std::memcmp(head.data, MAGIC, sizeof MAGIC) == 0;
}

Model open_tmac(const std::string& path) {
  Cursor from(MappedFile::open(path));
  from.take(sizeof MAGIC, "signature");
  u32 version = from.read<u32>("version");
  if (version != VERSION) unusable(path, ": TMAC version ", version, ", expected ", VERSION);
  Transformer t;
  for (i64* size : {&t.dim, &t.layers, &t.heads, &t.vocab})
    *size = from.read<u32>("header");
  from.take(8, "header");  // bits and group size: every tensor says its own
  Table table = read_table(&from);

  Model model;
  model.bitnet = true;
  t.head_dim = t.heads > 0 ? t.dim / t.heads : 0;
  t.kv_heads = t.head_dim > 0 ? rows_of(table, "model.layers.0.self_attn.k_proj.weight", path) / t.head_dim : 0;
  t.ffn_dim = rows_of(table, "model.layers.0.mlp.gate_proj.weight", path);
  assume(table, &t, &model);
  check_sizes(t, path);
  for (const Rename& name : hf_names(t.layers)) {
    auto found = table.find(name.theirs);
    if (found == table.end()) continue;
    model.tensors.push_back(make(name, expected_of(t, name.ours), found->second, from.file()));
    table.erase(found);
  }
  if (!table.empty())
    unusable(path, ": tensor ", table.begin()->first, " has no place in this family or is beyond its layers");
  complete(t, path, &model);
  return model;
}

}  // namespace edgellm::convert
