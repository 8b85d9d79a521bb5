#include "convert/source/tmac.h"

#include <cmath>

namespace edgellm::convert {
namespace {

constexpr char MAGIC[4] = {'T', 'M', 'A', 'C'};
constexpr u32 VERSION = 2;
constexpr u32 MAX_TEXT = 256;
constexpr u32 MAX_DIMS = 8;

f32 scale_at(const TmacTensor& stored, i64 row) {
  f32 scale;
  std::memcpy(&scale, stored.scales.data + row * 4, 4);
  return scale;
}

class TmacTernary : public TernaryTensor {
 public:
  TmacTernary(const std::string& tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file,
              const TmacTensor& stored)
      : TernaryTensor(tensor_name, tensor_role, tensor_rows, tensor_cols), file_(std::move(file)), stored_(stored) {}

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
  TmacTensor stored_;
};

class TmacInt8 : public Tensor {
 public:
  TmacInt8(const std::string& tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file,
           const TmacTensor& stored)
      : Tensor(tensor_name, tensor_role, tensor_rows, tensor_cols), file_(std::move(file)), stored_(stored) {}

  void values(i64 row, i64 count, f32* out) const override {
    for (i64 r = row; r < row + count; r++) {
      f32 scale = scale_at(stored_, r) / 127;
      for (i64 c = 0; c < cols; c++)
        *out++ = scale * static_cast<f32>(static_cast<i8>(stored_.data.data[r * cols + c]));
    }
  }

 private:
  File file_;
  TmacTensor stored_;
};

std::string read_text(Cursor* from, const char* what) {
  u32 size = from->read<u32>(what);
  if (size > MAX_TEXT) unusable(from->file()->path, ": ", what, " of ", size, " bytes, at most ", MAX_TEXT);
  return from->take(size, what).text();
}

TmacTensor read_tensor(Cursor* from, const std::string& name) {
  TmacTensor stored;
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

}  // namespace

bool is_tmac(Bytes head) {
  return head.size >= sizeof MAGIC && std::memcmp(head.data, MAGIC, sizeof MAGIC) == 0;
}

Tmac read_tmac(const File& file) {
  Cursor from(file);
  from.take(sizeof MAGIC, "signature");
  u32 version = from.read<u32>("version");
  if (version != VERSION) unusable(file->path, ": TMAC version ", version, ", expected ", VERSION);
  Tmac tmac{};
  tmac.file = file;
  for (u32* size : {&tmac.dim, &tmac.layers, &tmac.heads, &tmac.vocab})
    *size = from.read<u32>("header");
  from.take(8, "header");  // bits and group size: every tensor says its own
  while (from.left() > 0) {
    std::string name = read_text(&from, "tensor name");
    if (!tmac.tensors.emplace(name, read_tensor(&from, name)).second)
      unusable(file->path, ": tensor ", name, " is there twice");
  }
  return tmac;
}

std::unique_ptr<Tensor> tmac_tensor(const std::string& name, Role role, i64 rows, i64 cols, const std::string& theirs,
                                    const TmacTensor& stored, const File& file) {
  auto size = [&](const char* what, u64 actual, u64 expected) {
    if (actual != expected) {
      unusable(file->path, ": ", theirs, " (", stored.dtype, ") has ", actual, " bytes of ", what, ", ", rows, " x ", cols,
               " need ", expected);
    }
  };
  const u64 count = static_cast<u64>(rows * cols);
  if (stored.dtype == "fp16") {
    size("data", stored.data.size, count * 2);
    return std::make_unique<FloatTensor>(name, role, rows, cols, file, stored.data, Dtype::F16);
  }
  size("scales", stored.scales.size, static_cast<u64>(rows) * 4);
  if (stored.dtype == "int8") {
    size("data", stored.data.size, count);
    return std::make_unique<TmacInt8>(name, role, rows, cols, file, stored);
  }
  if (stored.dtype != "bitnet") unusable(file->path, ": ", theirs, " has the unknown dtype \"", stored.dtype, "\"");
  size("data", stored.data.size, div_up<u64>(count, 4));
  if (role == Role::vector) unusable(file->path, ": ", theirs, " is ternary, expected fp16");
  return std::make_unique<TmacTernary>(name, role, rows, cols, file, stored);
}

}  // namespace edgellm::convert
