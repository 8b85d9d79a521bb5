#include "convert/source/packed.h"

namespace edgellm::convert {
namespace {

class PackedTernary : public TernaryTensor {
 public:
  PackedTernary(const std::string& tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols,
                const StoredTensor& stored, f32 scale)
      : TernaryTensor(tensor_name, tensor_role, tensor_rows, tensor_cols), stored_(stored), scale_(scale) {}

  std::optional<Ternary> ternary() const override { return Ternary{Ternary::Per::tensor, scale_}; }

  void codes(i64 row, i64 count, i8* out, f32*) const override {
    const i64 quarter = div_up<i64>(rows, 4);
    stored_.file->read(static_cast<u64>(count * cols));
    for (i64 r = row; r < row + count; r++) {
      const u8* bytes = stored_.data.data + r % quarter * cols;
      const i64 shift = r / quarter * 2;
      for (i64 c = 0; c < cols; c++) {
        i32 code = bytes[c] >> shift & 3;
        if (code == 3) {
          unusable(stored_.file->path, ": ", name, ": row ", r, ", column ", c,
                   " has the packed code 3, which is no weight");
        }
        *out++ = static_cast<i8>(code - 1);
      }
    }
  }

 private:
  StoredTensor stored_;
  f32 scale_;
};

}  // namespace

std::unique_ptr<Tensor> packed_ternary(const std::string& name, Role role, i64 rows, i64 cols, const StoredTensor& stored,
                                       f32 scale) {
  return std::make_unique<PackedTernary>(name, role, rows, cols, stored, scale);
}

}  // namespace edgellm::convert
