// llama2.c checkpoints (https://github.com/karpathy/llama2.c, export.py and run.c).
//
// legacy:   7 x i32 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: a classifier of its own),
//           seq_len; then f32: embedding; of all layers attention norm, q, k, v, o, ffn norm, w1, w2, w3; final norm;
//           seq_len x head_dim/2 cosines, as many sines (not used); classifier if it is not shared
// "ak42" 1: u32 magic, u32 version, the 7 numbers, u8 shared classifier, zeros to 256; f32: attention norms, ffn norms,
//           final norm, embedding, q, k, v, o, w1, w2, w3 of all layers; classifier
// "ak42" 2: u32 magic, u32 version, the 7 numbers, u8 shared classifier, i32 group size, zeros to 256; f32: attention norms,
//           ffn norms, final norm; then matrix after matrix, i8 values and f32 scale per group: embedding, q of all layers,
//           k, v, o, w1, w2, w3, classifier
//
// Rotary pairs are interleaved; gate = silu(w1 x) * (w3 x); the norms' epsilon is 1e-5.
#include <cmath>

#include "convert/family/open.h"
#include "convert/family/transformer.h"
#include "file/limits.h"

namespace edgellm::convert {
namespace {

constexpr u32 MAGIC = 0x616b3432;  // "ak42", written as a number
constexpr u64 HEADER_BYTES = 256;

struct Shape {
  i32 dim, hidden_dim, layers, heads, kv_heads, vocab, context;
};
static_assert(sizeof(Shape) == 28);

// int8 values, one f32 scale for every `group` of them, counted through the whole matrix.
class GroupedTensor : public Tensor {
 public:
  GroupedTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, Cursor* from, i64 group)
      : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), file_(from->file()), group_(group) {
    u64 n = static_cast<u64>(rows * cols);
    if (n % static_cast<u64>(group) != 0) unusable(file_->path, ": ", name, " is no multiple of the group size ", group);
    codes_ = from->take(n, name);
    scales_ = from->take(n / static_cast<u64>(group) * 4, name);
  }

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 i = row * cols; i < (row + count) * cols; i++) {
      f32 scale;
      std::memcpy(&scale, scales_.data + i / group_ * 4, 4);
      *out++ = static_cast<f32>(static_cast<i8>(codes_.data[i])) * scale;
    }
  }

 private:
  File file_;
  Bytes codes_, scales_;
  i64 group_;
};

// Takes tensors in the order in which they lie in the file.
struct Reader {
  Cursor& from;
  const Transformer& t;
  i64 group;  // of int8 matrices; 0: everything is f32
  const std::map<std::string, const Part*> parts;
  Tensors tensors = {};

  u64 bytes_of(const std::string& name) const {
    const Part& part = *parts.at(name);
    const u64 weights = static_cast<u64>(part.rows * part.cols);
    return group > 0 && part.role != Role::vector ? weights + weights / static_cast<u64>(group) * 4 : weights * 4;
  }

  // The file has as many bytes as its header says; groups that no matrix consists of are another matter.
  void require_end(bool shared, u64 tables) const {
    u64 end = from.position() + tables;
    for (const auto& [name, part] : parts) {
      const bool there = part->role == Role::head ? !shared : part->presence == Presence::needed;
      if (!there || !part->computed.empty()) continue;
      if (group > 0 && part->rows * part->cols % group != 0 && part->role != Role::vector) return;
      end += bytes_of(name);
    }
    const u64 bytes = from.position() + from.left();
    if (bytes < end) unusable(from.file()->path, ": ", bytes, " bytes, its header wants ", end, WAS_CUT);
  }

  void one(const std::string& name) {
    const Part& part = *parts.at(name);
    if (group > 0 && part.role != Role::vector) {
      tensors.push_back(std::make_unique<GroupedTensor>(name, part.role, part.rows, part.cols, &from, group));
      return;
    }
    Bytes data = from.take(static_cast<u64>(part.rows * part.cols) * 4, name);
    tensors.push_back(std::make_unique<FloatTensor>(name, part.role, part.rows, part.cols, from.file(), data, Dtype::F32));
  }

  void each(const char* name) {
    for (i64 layer = 0; layer < t.layers; layer++)
      one(layer_name(layer, name));
  }
};

Transformer describe(const Shape& shape, const std::string& path) {
  Transformer t;
  t.layers = shape.layers;
  t.dim = shape.dim;
  t.ffn_dim = shape.hidden_dim;
  t.heads = shape.heads;
  t.kv_heads = shape.kv_heads;
  t.vocab = std::abs(static_cast<i64>(shape.vocab));
  t.context = shape.context;
  t.head_dim = t.heads > 0 ? t.dim / t.heads : 0;
  t.rope.interleaved = true;
  t.bos = 1;
  t.stop = {1, 2};  // its program ends at BOS; EOS of its tokenizer is 2
  check_sizes(t, path);
  if (t.dim != t.heads * t.head_dim) unusable(path, ": hidden size ", t.dim, " is no multiple of ", t.heads, " heads");
  return t;
}

// Of legacy files, which have the cosines and sines of all positions.
u64 rotary_bytes(const Transformer& t) {
  return static_cast<u64>(t.context) * static_cast<u64>(t.head_dim / 2) * 8;
}

void read_legacy(Reader* reader, bool shared) {
  const Transformer& t = reader->t;
  reader->one("embed");
  for (const char* name : {"attn_norm", "q", "k", "v", "o", "ffn_norm", "gate", "down", "up"})
    reader->each(name);
  reader->one("norm");
  reader->from.take(rotary_bytes(t), "rotary tables");
  if (!shared) reader->one("head");
}

void read_versioned(Reader* reader, bool shared) {
  reader->each("attn_norm");
  reader->each("ffn_norm");
  reader->one("norm");
  reader->one("embed");
  for (const char* name : {"q", "k", "v", "o", "gate", "down", "up"})
    reader->each(name);
  if (!shared) reader->one("head");
}

bool has_magic(Bytes head) {
  u32 magic;
  if (head.size < sizeof magic) return false;
  std::memcpy(&magic, head.data, sizeof magic);
  return magic == MAGIC;
}

// Adds the tensors of a layer side by side, as a forward pass reads them.
void add_in_order_of_use(Tensors tensors, i64 layers, Tensors* sorted) {
  auto move_matching = [&](const std::string& prefix) {
    for (std::unique_ptr<Tensor>& tensor : tensors) {
      if (tensor && tensor->name.starts_with(prefix)) sorted->push_back(std::move(tensor));
    }
  };
  move_matching("embed");
  for (i64 layer = 0; layer < layers; layer++)
    move_matching(layer_name(layer));
  move_matching("");
}

}  // namespace

// Legacy files have no signature: a plausible header and exactly the right size.
bool is_llama2c(const Source& source) {
  const Bytes head = source.head();
  if (has_magic(head)) return true;
  Shape s;
  if (head.size < sizeof s) return false;
  std::memcpy(&s, head.data, sizeof s);
  auto size = [](i32 value) { return value >= 1 && value <= MAX_CONTEXT; };
  return size(s.dim) && size(s.hidden_dim) && size(s.layers) && size(s.heads) && size(s.kv_heads) && size(s.context) &&
         s.layers <= MAX_LAYERS && s.heads <= s.dim && s.dim % s.heads == 0 && s.heads % s.kv_heads == 0 && s.vocab != 0 &&
         s.vocab >= -MAX_VOCAB && s.vocab <= MAX_VOCAB;
}

Model open_llama2c(const Source& source) {
  const std::string& path = source.path;
  Cursor from(source.file);
  const bool versioned = has_magic(source.head());
  u32 version = 0;
  if (versioned) {
    from.read<u32>("magic");
    version = from.read<u32>("version");
    if (version != 1 && version != 2) unusable(path, ": llama2.c version ", version, ", expected 1 or 2");
  }
  const Shape shape = from.read<Shape>("header");
  const bool shared = versioned ? from.read<u8>("header") != 0 : shape.vocab > 0;
  const i64 group = version == 2 ? from.read<i32>("header") : 0;
  if (version == 2 && group < 1) unusable(path, ": group size is ", group, ", expected at least 1");
  if (versioned) from.take(HEADER_BYTES - from.position(), "header");

  const Transformer t = describe(shape, path);
  const ModelTable table = transformer_family(t, path);
  Reader reader{from, t, group, parts_by_name(table)};
  reader.require_end(shared, versioned ? 0 : rotary_bytes(t));
  (versioned ? read_versioned : read_legacy)(&reader, shared);
  if (from.left() > 0) unusable(path, ": ", from.left(), " bytes follow the last tensor");
  Model model = model_of(table);
  model.tensors.push_back(computed_tensor(*reader.parts.at("rope.inv_freq")));
  add_in_order_of_use(std::move(reader.tensors), t.layers, &model.tensors);
  return model;
}

}  // namespace edgellm::convert
