#include "convert/base/model.h"

#include "base/math.h"
#include "file/limits.h"

namespace edgellm::convert {

static u16 load_u16(const u8* from) {
  u16 bits;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}

i64 dtype_bytes(Dtype dtype) {
  switch (dtype) {
    case Dtype::F32:
      return 4;
    case Dtype::F16:
    case Dtype::BF16:
      return 2;
    case Dtype::U8:
    case Dtype::I8:
      return 1;
    case Dtype::other:
      break;
  }
  return 0;
}

std::string shape_text(const std::vector<u64>& shape) {
  std::string out;
  for (u64 size : shape)
    out += text(out.empty() ? "" : " x ", size);
  return out.empty() ? "()" : out;
}

void check_size(const char* name, i64 value, i64 most, const std::string& source) {
  if (value < 1 || value > most) unusable(source, ": ", name, " is ", value, ", expected 1 to ", most);
}

void check_epsilon(const char* name, f64 value, const std::string& source) {
  constexpr f64 MOST = static_cast<f64>(MAX_NORM_EPS);
  if (!(value >= 0 && value <= MOST)) unusable(source, ": ", name, " is ", value, ", expected 0 to ", MOST);
  if (value > 0 && !(static_cast<f32>(value) > 0)) unusable(source, ": ", name, " is ", value, ", which is 0 as an f32");
}

void TernaryTensor::values(i64 row, i64 count, f32* out) const {
  std::vector<i8> weights(static_cast<size_t>(count * cols));
  std::vector<f32> scales(static_cast<size_t>(count), ternary()->scale);  // of the tensor, unless rows have their own
  codes(row, count, weights.data(), scales.data());
  for (i64 i = 0; i < count * cols; i++)
    out[i] = scales[static_cast<size_t>(i / cols)] * static_cast<f32>(weights[static_cast<size_t>(i)]);
}

FloatTensor::FloatTensor(std::string tensor_name, Role tensor_role, i64 tensor_rows, i64 tensor_cols, File file, Bytes data,
                         Dtype dtype, f32 factor)
    : Tensor(std::move(tensor_name), tensor_role, tensor_rows, tensor_cols), file_(std::move(file)), data_(data),
      dtype_(dtype), factor_(factor) {
  if (dtype != Dtype::F32 && dtype != Dtype::F16 && dtype != Dtype::BF16) {
    unusable(file_->path, ": tensor ", name, " is not f32, f16 or bf16");
  }
  u64 expected = static_cast<u64>(rows * cols * dtype_bytes(dtype));
  if (data.size != expected) {
    unusable(file_->path, ": tensor ", name, " has ", data.size, " bytes, ", rows, " x ", cols, " values need ", expected);
  }
}

void FloatTensor::values(i64 row, i64 count, f32* out) const {
  const i64 n = count * cols, first = row * cols;
  const u8* from = data_.data + first * dtype_bytes(dtype_);
  file_->read(static_cast<u64>(n * dtype_bytes(dtype_)));
  if (dtype_ == Dtype::F32) {
    std::memcpy(out, from, static_cast<size_t>(n) * 4);
  } else if (dtype_ == Dtype::F16) {
    for (i64 i = 0; i < n; i++)
      out[i] = f16_to_f32(load_u16(from + 2 * i));
  } else {
    for (i64 i = 0; i < n; i++)
      out[i] = bits_to<f32>(static_cast<u32>(load_u16(from + 2 * i)) << 16);
  }
  if (factor_ < 1 || factor_ > 1) {
    for (i64 i = 0; i < n; i++)
      out[i] *= factor_;
  }
}

void ComputedTensor::values(i64 row, i64 count, f32* out) const {
  std::copy_n(values_.data() + row * cols, count * cols, out);
}

}  // namespace edgellm::convert
