// TM2 version 1, the format of the first engine.
//
// "TM2\0", then 7 x u32 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len, then not aligned
//   matrix  u8 1, u32 rows, u32 cols, rows x ( f16 scale, ceil(cols / 4) bytes )
//   vector  u8 0, n x f32
//   order   matrix embed; per layer vector input_norm, matrix q, k, v, o, vector attn_sub_norm, vector post_norm,
//           matrix gate, up, down, vector ffn_sub_norm; vector final_norm; matrix lm_head
// Four weights a byte, lowest two bits first: 0 is 0, 1 is +1, 2 and 3 are -1. What the file does not say is what its engine
// does: theta 500000, epsilon 1e-5, BOS 1, stop at 128001, interleaved rotary pairs, squared ReLU.
#include "base/math.h"
#include "convert/family/open.h"
#include "convert/family/transformer.h"

namespace edgellm::convert {
namespace {

constexpr char MAGIC[4] = {'T', 'M', '2', 0};

class Tm2Matrix : public TernaryTensor {
 public:
  Tm2Matrix(const Part& part, Cursor* from)
      : TernaryTensor(part.ours, part.role, part.rows, part.cols), file_(from->file()),
        row_bytes_(2 + div_up<i64>(part.cols, 4)), data_(from->take(static_cast<u64>(part.rows * row_bytes_), name)) {}

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::row}; }

  void codes(i64 row, i64 count, i8* out, f32* scales) const override {
    static constexpr i8 WEIGHTS[4] = {0, 1, -1, -1};
    for (i64 r = 0; r < count; r++) {
      const u8* from = data_.data + (row + r) * row_bytes_;
      u16 half;
      std::memcpy(&half, from, 2);
      scales[r] = f16_to_f32(half);
      if ((half & 0x7c00) == 0x7c00) unusable(file_->path, ": ", name, ": the scale of row ", row + r, " is not finite");
      for (i64 c = 0; c < cols; c++)
        *out++ = WEIGHTS[from[2 + c / 4] >> (c % 4 * 2) & 3];
    }
  }

 private:
  File file_;
  i64 row_bytes_;
  Bytes data_;
};

struct Reader {
  Cursor& from;
  const std::map<std::string, const Part*> parts;
  Tensors& tensors;

  void flag(const std::string& name, u8 expected) {
    u8 actual = from.read<u8>(name);
    if (actual != expected) {
      unusable(from.file()->path, ": ", name, " at offset ", from.position() - 1, ": its kind is ", int{actual},
               ", expected ", int{expected}, expected ? " (matrix)" : " (vector)");
    }
  }

  void vector(const std::string& name) {
    flag(name, 0);
    const Part& part = *parts.at(name);
    Bytes data = from.take(static_cast<u64>(part.cols) * 4, name);
    tensors.push_back(std::make_unique<FloatTensor>(name, part.role, 1, part.cols, from.file(), data, Dtype::F32));
  }

  void matrix(const std::string& name) {
    flag(name, 1);
    const Part& part = *parts.at(name);
    i64 rows = from.read<u32>(name), cols = from.read<u32>(name);
    if (rows != part.rows || cols != part.cols) {
      unusable(from.file()->path, ": ", name, " is ", rows, " x ", cols, ", the header wants ", part.rows, " x ", part.cols);
    }
    tensors.push_back(std::make_unique<Tm2Matrix>(part, &from));
  }

  void layer(i64 index) {
    auto name = [index](const char* tensor) { return layer_name(index, tensor); };
    vector(name("attn_norm"));
    for (const char* tensor : {"q", "k", "v", "o"})
      matrix(name(tensor));
    vector(name("attn_sub_norm"));
    vector(name("ffn_norm"));
    for (const char* tensor : {"gate", "up", "down"})
      matrix(name(tensor));
    vector(name("ffn_sub_norm"));
  }
};

Transformer read_header(Cursor* from) {
  from->take(sizeof MAGIC, "signature");
  Transformer t;
  for (i64* size : {&t.dim, &t.ffn_dim, &t.layers, &t.heads, &t.kv_heads, &t.vocab, &t.context})
    *size = from->read<u32>("header");
  t.head_dim = t.heads > 0 ? t.dim / t.heads : 0;
  t.gate = Gate::relu2;
  t.rope.theta = 500000;
  t.rope.interleaved = true;
  t.bos = 1;
  t.stop = {128001};
  check_sizes(t, from->file()->path);
  if (t.dim != t.heads * t.head_dim) {
    unusable(from->file()->path, ": hidden size ", t.dim, " is no multiple of ", t.heads, " heads");
  }
  return t;
}

}  // namespace

bool is_tm2(const Source& source) {
  const Bytes head = source.head();
  return head.size >= sizeof MAGIC && std::memcmp(head.data, MAGIC, sizeof MAGIC) == 0;
}

Model open_tm2(const Source& source) {
  Cursor from(source.file);
  const Transformer t = read_header(&from);
  const ModelTable table = transformer_family(t, source.path);
  Model model = model_of(table);
  Reader reader{from, parts_by_name(table), model.tensors};
  model.tensors.push_back(computed_tensor(*reader.parts.at("rope.inv_freq")));
  reader.matrix("embed");
  for (i64 layer = 0; layer < t.layers; layer++)
    reader.layer(layer);
  reader.vector("norm");
  reader.matrix("head");
  if (from.left() > 0) unusable(source.path, ": ", from.left(), " bytes follow the last tensor");
  model.bitnet = true;
  model.notes.push_back(
      "rotary pairs are taken as interleaved, as the engine of this format does; files that were made from "
      "Hugging Face weights need --rope half");
  return model;
}

}  // namespace edgellm::convert
