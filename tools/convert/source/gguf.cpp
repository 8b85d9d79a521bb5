#include "convert/source/gguf.h"

#include <algorithm>
#include <cmath>

namespace edgellm::convert {
namespace {

constexpr char MAGIC[4] = {'G', 'G', 'U', 'F'};
constexpr u64 ALIGNMENT = 32, MAX_ALIGNMENT = 1 << 20;
constexpr i32 MAX_DEPTH = 8;  // of lists in lists
constexpr u32 MAX_RANK = 4;
constexpr u32 TYPES = 13;

// Bytes of a value; 0: it has no fixed size.
u64 type_bytes(GgufType type) {
  static constexpr u64 BYTES[TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
  return BYTES[static_cast<u32>(type)];
}

const char* type_name(GgufType type) {
  static constexpr const char* NAMES[TYPES] = {"u8",      "i8",     "u16",  "i16", "u32", "i32", "f32",
                                               "boolean", "string", "list", "u64", "i64", "f64"};
  return NAMES[static_cast<u32>(type)];
}

template <class T>
T value_at(const u8* data) {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

std::string read_string(Cursor* from, const char* what) {
  u64 size = from->read<u64>(what);
  return from->take(size, what).text();
}

class Reader {
 public:
  explicit Reader(File file) : from_(file) { out_.file = std::move(file); }

  Gguf read() {
    from_.take(sizeof MAGIC, "signature");
    u32 version = from_.read<u32>("version");
    if (version > 0xffff && (version & 0xffff) == 0) {
      unusable(path(), ": is big-endian (version ", __builtin_bswap32(version), "), expected a little-endian file");
    }
    if (version != 2 && version != 3) unusable(path(), ": GGUF version ", version, ", expected 2 or 3");
    u64 tensors = from_.read<u64>("number of tensors"), entries = from_.read<u64>("number of entries");
    for (u64 i = 0; i < entries; i++)
      read_entry();
    for (u64 i = 0; i < tensors; i++)
      read_tensor();
    place_tensors();
    return std::move(out_);
  }

 private:
  struct Placed {
    std::string name;
    u32 type;
    std::vector<u64> shape;
    u64 count;   // weights
    u64 offset;  // in the data
  };

  const std::string& path() const { return out_.file->path; }

  GgufType read_type(const std::string& key) {
    u32 type = from_.read<u32>("type");
    if (type >= TYPES) unusable(path(), ": ", key, " has the type ", type, ", expected 0 to ", TYPES - 1);
    return static_cast<GgufType>(type);
  }

  void skip(GgufType type, const std::string& key, i32 depth) {
    if (u64 size = type_bytes(type)) {
      from_.take(size, key);
    } else if (type == GgufType::string) {
      from_.take(from_.read<u64>("string"), key);
    } else {
      if (depth == MAX_DEPTH) unusable(path(), ": ", key, " has lists in lists deeper than ", MAX_DEPTH);
      GgufType element = read_type(key);
      skip_list(element, from_.read<u64>("list"), key, depth + 1);
    }
  }

  void skip_list(GgufType element, u64 count, const std::string& key, i32 depth) {
    // The least that an element takes: a string its length, a list its type and count.
    u64 size = type_bytes(element), least = size ? size : element == GgufType::string ? 8 : 12;
    if (count > from_.left() / least) {
      unusable(path(), ": ", key, " is a list of ", count, " ", type_name(element), ", only ", from_.left(),
               " bytes are left", WAS_CUT);
    }
    if (size) {
      from_.take(count * size, key);
      return;
    }
    for (u64 i = 0; i < count; i++)
      skip(element, key, depth);
  }

  void read_entry() {
    std::string key = read_string(&from_, "key");
    GgufType type = read_type(key);
    GgufValue value{type, type == GgufType::list, 1, {}};
    if (value.list) {
      value.type = read_type(key);
      value.count = from_.read<u64>("list");
    }
    u64 start = from_.position();
    value.list ? skip_list(value.type, value.count, key, 1) : skip(type, key, 0);
    value.data = {out_.file->bytes().data + start, from_.position() - start};
    if (!out_.metadata.emplace(key, value).second) unusable(path(), ": ", key, " is there twice");
  }

  void read_tensor() {
    Placed tensor{read_string(&from_, "tensor name"), 0, {}, 1, 0};
    u32 rank = from_.read<u32>("rank");
    if (rank < 1 || rank > MAX_RANK) {
      unusable(path(), ": tensor ", tensor.name, " has the rank ", rank, ", expected 1 to ", MAX_RANK);
    }
    for (u32 i = 0; i < rank; i++) {
      u64 size = from_.read<u64>("shape");
      if (size == 0 || __builtin_mul_overflow(tensor.count, size, &tensor.count) || tensor.count >> 56) {
        unusable(path(), ": tensor ", tensor.name, ": its shape is empty or overflows");
      }
      tensor.shape.insert(tensor.shape.begin(), size);
    }
    tensor.type = from_.read<u32>("tensor type");
    tensor.offset = from_.read<u64>("tensor offset");
    placed_.push_back(std::move(tensor));
  }

  // Bytes of a tensor in a format; 0 when its rows are no whole blocks.
  static u64 bytes_in(const Placed& tensor, const BlockFormat& format) {
    u64 weights = static_cast<u64>(format.weights);
    u64 of_blocks = format.id == GGML_I2_S ? tensor.count : tensor.shape.back();
    if (of_blocks % weights != 0) return 0;
    return tensor.count / weights * static_cast<u64>(format.bytes) + (format.id == GGML_I2_S ? u64{I2_S_TAIL} : 0);
  }

  u64 alignment() const {
    u64 value = static_cast<u64>(out_.integer("general.alignment").value_or(ALIGNMENT));
    if (value < 1 || value > MAX_ALIGNMENT || (value & (value - 1))) {
      unusable(path(), ": general.alignment is ", value, ", expected a power of two up to ", MAX_ALIGNMENT);
    }
    return value;
  }

  // The file reaches to the end of its last tensor, in the smallest format of its type.
  void require_end(const Placed& last, u64 start) const {
    u64 bytes = 0, end = 0;
    for (const BlockFormat* format : block_formats(last.type)) {
      const u64 needed = bytes_in(last, *format);
      bytes = bytes == 0 ? needed : std::min(bytes, needed);
    }
    if (__builtin_add_overflow(start, last.offset, &end) || __builtin_add_overflow(end, bytes, &end)) return;
    if (end > out_.file->bytes().size) {
      unusable(path(), ": ", out_.file->bytes().size, " bytes, its tensors end at ", end, WAS_CUT);
    }
  }

  void place_tensors() {
    const u64 align = alignment(), start = align_up(from_.position(), align), end = out_.file->bytes().size;
    if (placed_.empty()) return;
    std::sort(placed_.begin(), placed_.end(),
              [](const Placed& a, const Placed& b) { return a.offset != b.offset ? a.offset < b.offset : a.name < b.name; });
    require_end(placed_.back(), start);
    for (size_t i = 0; i < placed_.size(); i++) {
      const Placed& tensor = placed_[i];
      if (tensor.offset % align != 0 || tensor.offset > end - start) {
        unusable(path(), ": tensor ", tensor.name, " is at offset ", tensor.offset, ", expected a multiple of ", align,
                 " inside of the ", end - start, " bytes of data");
      }
    }
    u64 last = 0;  // end of the tensor before
    for (size_t i = 0; i < placed_.size(); i++) {
      const Placed& tensor = placed_[i];
      const u64 next = i + 1 < placed_.size() ? placed_[i + 1].offset : end - start;
      const BlockFormat& format = format_of(tensor, next - tensor.offset, align);
      u64 bytes = bytes_in(tensor, format);
      if (bytes > next - tensor.offset) {
        unusable(path(), ": tensor ", tensor.name, " (", format.name, ") needs ", bytes, " bytes at offset ", tensor.offset,
                 ", the next tensor comes after ", next - tensor.offset);
      }
      last = align_up(tensor.offset + bytes, align);
      Bytes data{out_.file->bytes().data + start + tensor.offset, bytes};
      if (!out_.tensors.emplace(tensor.name, GgufTensor{tensor.shape, &format, data}).second) {
        unusable(path(), ": tensor ", tensor.name, " is there twice");
      }
    }
    if (last < end - start) unusable(path(), ": ", end - start - last, " bytes follow the last tensor");
  }

  // The format whose size fits the room up to the next tensor, where a type has several.
  const BlockFormat& format_of(const Placed& tensor, u64 room, u64 align) const {
    std::vector<const BlockFormat*> fitting;
    std::vector<const BlockFormat*> formats = block_formats(tensor.type);
    if (formats.empty()) {
      unusable(path(), ": tensor ", tensor.name, " has the type ", tensor.type, ", which is not supported (",
               block_format_names(), ")");
    }
    for (const BlockFormat* format : formats) {
      u64 bytes = bytes_in(tensor, *format);
      if (bytes > 0 && (formats.size() == 1 || bytes == room || align_up(bytes, align) == room)) fitting.push_back(format);
    }
    if (fitting.size() == 1) return *fitting[0];
    if (formats.size() == 1) {
      unusable(path(), ": tensor ", tensor.name, " (", formats[0]->name, ") has rows of ", tensor.shape.back(),
               " weights, expected a multiple of ", formats[0]->weights);
    }
    std::string sizes;
    for (const BlockFormat* format : formats)
      sizes += text(sizes.empty() ? "" : " or ", bytes_in(tensor, *format), " (groups of ", format->weights, ")");
    unusable(path(), ": tensor ", tensor.name, " (", formats[0]->name, ") has ", room,
             " bytes up to the next one, expected ", sizes, fitting.empty() ? "" : ": it fits both");
  }

  Cursor from_;
  Gguf out_;
  std::vector<Placed> placed_;
};

[[noreturn]] void wrong_type(const Gguf& gguf, const std::string& key, const GgufValue& value, const char* expected) {
  unusable(gguf.file->path, ": ", key, " is ", value.list ? "a list of " : "of type ", type_name(value.type), ", expected ",
           expected);
}

// A number of any type but boolean; nothing for another type.
std::optional<f64> number_at(GgufType type, const u8* data) {
  switch (type) {
    case GgufType::u8:
      return *data;
    case GgufType::i8:
      return static_cast<i8>(*data);
    case GgufType::u16:
      return value_at<u16>(data);
    case GgufType::i16:
      return value_at<i16>(data);
    case GgufType::u32:
      return value_at<u32>(data);
    case GgufType::i32:
      return value_at<i32>(data);
    case GgufType::u64:
      return static_cast<f64>(value_at<u64>(data));
    case GgufType::i64:
      return static_cast<f64>(value_at<i64>(data));
    case GgufType::f32:
      return static_cast<f64>(value_at<f32>(data));
    case GgufType::f64:
      return value_at<f64>(data);
    case GgufType::boolean:
    case GgufType::string:
    case GgufType::list:
      break;
  }
  return std::nullopt;
}

const GgufValue* find(const Gguf& gguf, const std::string& key) {
  auto found = gguf.metadata.find(key);
  return found == gguf.metadata.end() ? nullptr : &found->second;
}

// The strings of a list, or the one that a value is; `read_gguf` walked over them before.
std::vector<std::string> texts_of(const GgufValue& value) {
  std::vector<std::string> out;
  const u8* at = value.data.data;
  for (u64 i = 0; i < value.count; i++) {
    const size_t size = static_cast<size_t>(value_at<u64>(at));
    out.emplace_back(reinterpret_cast<const char*>(at + 8), size);
    at += 8 + size;
  }
  return out;
}

}  // namespace

std::optional<f64> Gguf::number(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) return std::nullopt;
  std::optional<f64> number = value->list ? std::nullopt : number_at(value->type, value->data.data);
  if (!number) wrong_type(*this, key, *value, "a number");
  return number;
}

std::optional<i64> Gguf::integer(const std::string& key) const {
  std::optional<f64> value = number(key);
  if (!value) return std::nullopt;
  if (!(std::fabs(*value) <= 0x1p53) || *value != std::floor(*value)) {
    unusable(file->path, ": ", key, " is ", *value, ", expected a whole number");
  }
  return static_cast<i64>(*value);
}

std::optional<bool> Gguf::flag(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) return std::nullopt;
  if (value->list || value->type != GgufType::boolean) wrong_type(*this, key, *value, "true or false");
  return *value->data.data != 0;
}

std::optional<std::string> Gguf::string(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) return std::nullopt;
  if (value->list || value->type != GgufType::string) wrong_type(*this, key, *value, "a string");
  return texts_of(*value)[0];
}

std::optional<std::vector<std::string>> Gguf::strings(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) return std::nullopt;
  if (!value->list || value->type != GgufType::string) wrong_type(*this, key, *value, "a list of strings");
  return texts_of(*value);
}

std::optional<std::vector<f64>> Gguf::numbers(const std::string& key) const {
  const GgufValue* value = find(*this, key);
  if (!value) return std::nullopt;
  std::vector<f64> out;
  for (u64 i = 0; i < value->count; i++) {
    std::optional<f64> number;
    if (value->list) number = number_at(value->type, value->data.data + i * type_bytes(value->type));
    if (!number) wrong_type(*this, key, *value, "a list of numbers");
    out.push_back(*number);
  }
  return out;
}

bool is_gguf(Bytes head) {
  return head.size >= sizeof MAGIC && std::memcmp(head.data, MAGIC, sizeof MAGIC) == 0;
}

Gguf read_gguf(const std::string& path) {
  return Reader(MappedFile::open(path)).read();
}

}  // namespace edgellm::convert
