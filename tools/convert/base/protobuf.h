// The wire format of protocol buffers, read field by field.
#pragma once
#include <cstring>
#include <string>
#include <string_view>

#include "convert/base/error.h"

namespace edgellm::convert {

struct ProtobufField {
  u32 number = 0;
  u32 type = 0;            // 0: varint, 1: 64 bits, 2: bytes, 5: 32 bits
  u64 value = 0;           // of types 0, 1 and 5
  std::string_view bytes;  // of type 2

  f32 number_f32() const {
    u32 bits = static_cast<u32>(value);
    f32 out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
  }
};

// Gives the fields of one message in order. Throws an Error that names `source` where the bytes are no message.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view bytes, const std::string& source) : bytes_(bytes), source_(source) {}

  bool next(ProtobufField* field) {
    if (at_ == bytes_.size()) return false;
    u64 tag = varint();
    *field = {static_cast<u32>(tag >> 3), static_cast<u32>(tag & 7), 0, {}};
    switch (field->type) {
      case 0:
        field->value = varint();
        return true;
      case 1:
        field->value = fixed(8);
        return true;
      case 2:
        field->bytes = take(varint());
        return true;
      case 5:
        field->value = fixed(4);
        return true;
      default:
        unusable(source_, ": not a protocol buffer: field type ", field->type, " at byte ", at_);
    }
  }

 private:
  std::string_view take(u64 count) {
    if (count > bytes_.size() - at_)
      unusable(source_, ": cut: a field of ", count, " bytes at byte ", at_, " of ", bytes_.size());
    std::string_view out = bytes_.substr(at_, static_cast<size_t>(count));
    at_ += out.size();
    return out;
  }

  u64 fixed(size_t count) {
    u64 value = 0;
    std::memcpy(&value, take(count).data(), count);
    return value;
  }

  u64 varint() {
    u64 value = 0;
    for (u32 shift = 0; shift < 64; shift += 7) {
      u8 byte = static_cast<u8>(take(1)[0]);
      value |= static_cast<u64>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    unusable(source_, ": not a protocol buffer: a number without an end at byte ", at_);
  }

  std::string_view bytes_;
  const std::string& source_;
  size_t at_ = 0;
};

}  // namespace edgellm::convert
