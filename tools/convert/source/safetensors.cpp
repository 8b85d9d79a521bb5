#include "convert/source/safetensors.h"

#include <algorithm>

#include "convert/base/json.h"

namespace edgellm::convert {
namespace {

constexpr u64 MAX_HEADER = 100 << 20;  // of the reference implementation
constexpr size_t MAX_DIMS = 8;

Dtype dtype_of(const std::string& name) {
  if (name == "F32") return Dtype::F32;
  if (name == "F16") return Dtype::F16;
  if (name == "BF16") return Dtype::BF16;
  if (name == "U8") return Dtype::U8;
  if (name == "I8") return Dtype::I8;
  return Dtype::other;
}

u64 whole(const Json& value, const std::string& where) {
  std::optional<i64> number = value.whole(0, Json::MAX_WHOLE);
  if (!number) unusable(where, ": expected a whole number");
  return static_cast<u64>(*number);
}

StoredTensor parse_entry(const Json& entry, const std::string& where, const File& file, Bytes data) {
  const Json* dtype = entry.find("dtype");
  const Json* shape = entry.find("shape");
  const Json* range = entry.find("data_offsets");
  if (!dtype || !dtype->string() || !shape || !shape->array() || !range || !range->array() || range->array()->size() != 2) {
    unusable(where, ": dtype, shape and two data_offsets are not all there");
  }
  StoredTensor tensor{"", dtype_of(*dtype->string()), *dtype->string(), {}, file, {}};
  const size_t dims = shape->array()->size();
  if (dims > MAX_DIMS) unusable(where, " has ", dims, " dimensions, at most ", MAX_DIMS);
  u64 count = 1;
  for (const Json& dimension : *shape->array()) {
    tensor.shape.push_back(whole(dimension, where + ": shape"));
    if (__builtin_mul_overflow(count, tensor.shape.back(), &count)) unusable(where, ": its shape overflows");
  }
  u64 begin = whole(range->array()->at(0), where + ": data_offsets"),
      end = whole(range->array()->at(1), where + ": data_offsets");
  if (begin > end || end > data.size) {
    unusable(where, ": bytes ", begin, " to ", end, " are not inside the ", data.size, " bytes of data");
  }
  u64 expected = 0, size = static_cast<u64>(dtype_bytes(tensor.dtype));
  if (__builtin_mul_overflow(count, size, &expected)) unusable(where, ": its shape overflows");
  if (tensor.dtype != Dtype::other && end - begin != expected) {
    unusable(where, ": ", end - begin, " bytes, its shape and dtype need ", expected);
  }
  tensor.data = {data.data + begin, end - begin};
  return tensor;
}

// The file reaches to the end of its last tensor.
void require_end(const Json& header, const Cursor& from) {
  u64 last = 0;
  for (const auto& [name, entry] : *header.object()) {
    const Json* range = name == "__metadata__" ? nullptr : entry.find("data_offsets");
    if (!range || !range->array() || range->array()->size() != 2) continue;
    const std::optional<i64> end = range->array()->at(1).whole(0, Json::MAX_WHOLE);
    last = std::max(last, static_cast<u64>(end.value_or(0)));
  }
  if (last > from.left()) {
    unusable(from.file()->path, ": ", from.position() + from.left(), " bytes, its tensors end at ", from.position() + last,
             WAS_CUT);
  }
}

// The format allows neither holes nor overlaps: every byte of the data belongs to one tensor.
void check_cover(const StoredTensors& tensors, Bytes data, const std::string& path) {
  std::vector<std::pair<const u8*, const u8*>> ranges;  // begin, end
  for (const auto& [name, tensor] : tensors) {
    if (tensor.data.size > 0) ranges.emplace_back(tensor.data.data, tensor.data.data + tensor.data.size);
  }
  std::sort(ranges.begin(), ranges.end());
  const u8* covered = data.data;
  for (const auto& [begin, end] : ranges) {
    if (begin != covered)
      unusable(path, ": byte ", begin - data.data, " of the data: a tensor begins, the one before ended at ",
               covered - data.data);
    covered = end;
  }
  if (covered != data.data + data.size) {
    unusable(path, ": the last ", data.data + data.size - covered, " bytes of the data belong to no tensor");
  }
}

}  // namespace

StoredTensors read_safetensors(const std::string& path) {
  Cursor from(MappedFile::open(path));
  u64 header_bytes = from.read<u64>("header length");
  if (header_bytes > MAX_HEADER) {
    const Foreign found = identify(from.file()->bytes());
    if (found.what) unusable(path, ": ", found.what, ", expected a safetensors file");
    unusable(path, ": header of ", header_bytes, " bytes, at most ", MAX_HEADER);
  }
  Json header = parse_json(from.take(header_bytes, "header").text(), path);
  if (!header.object()) unusable(path, ": the header is not a JSON object");
  require_end(header, from);
  Bytes data = from.take(from.left(), "data");
  StoredTensors tensors;
  for (const auto& [name, entry] : *header.object()) {
    if (name == "__metadata__") continue;
    add(&tensors, name, parse_entry(entry, text(path, ": tensor ", name), from.file(), data));
  }
  check_cover(tensors, data, path);
  return tensors;
}

}  // namespace edgellm::convert
