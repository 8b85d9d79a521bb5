// Text building in a caller's buffer: what snprintf would do, without the allocations of a static libc's printf.
// Output that does not fit is cut at the end of the buffer; the buffer is always NUL terminated.
#pragma once
#include <stdarg.h>

#include "base/types.h"

namespace edgellm {

struct Hex {
  u64 value;
  i32 digits;  // leading zeros fill up to this many
};

struct Fixed {
  f64 value;
  i32 decimals;  // 0 to 9
};

// Bytes in units of 10^6.
constexpr Fixed megabytes(i64 bytes, i32 decimals) {
  return {static_cast<f64>(bytes) / 1e6, decimals};
}

class Writer {
 public:
  template <i64 N>
  explicit Writer(char (&buffer)[N]) : Writer(buffer, N) {}
  Writer(char* buffer, i64 capacity) : data_(buffer), capacity_(capacity) { data_[0] = 0; }

  Writer& add(Text text);
  Writer& add(const char* text) { return add(Text(text)); }
  Writer& add(char c) { return add(Text(&c, 1)); }
  Writer& add(int value) { return add(static_cast<long long>(value)); }
  Writer& add(unsigned value) { return add(static_cast<unsigned long long>(value)); }
  Writer& add(long value) { return add(static_cast<long long>(value)); }
  Writer& add(unsigned long value) { return add(static_cast<unsigned long long>(value)); }
  Writer& add(long long value);  // i64 is this or `long`, as the system has it
  Writer& add(unsigned long long value);
  Writer& add(Hex hex);
  Writer& add(Fixed number);

  Text text() const { return {data_, size_}; }
  bool full() const { return size_ + 1 >= capacity_; }
  bool cut() const { return cut_; }  // something did not fit
  void clear() {
    size_ = 0;
    cut_ = false;
    data_[0] = 0;
  }

 private:
  char* data_;
  i64 capacity_;
  i64 size_ = 0;
  bool cut_ = false;
};

// What write() and functions like it take, any number of them. Each becomes one of few types, and one function of C's variable
// arguments writes them all: with a call for each in the code of every error, errors were a tenth of the program.
constexpr const char* part(const char* text) {
  return text;
}
struct PlainText {
  const char* data;
  i64 size;
};
constexpr PlainText part(Text text) {
  return {text.data, text.size};
}
constexpr char part(char c) {
  return c;
}
constexpr long long part(int value) {
  return value;
}
constexpr long long part(long value) {
  return value;
}
constexpr long long part(long long value) {
  return value;
}
constexpr unsigned long long part(unsigned value) {
  return value;
}
constexpr unsigned long long part(unsigned long value) {
  return value;
}
constexpr unsigned long long part(unsigned long long value) {
  return value;
}
constexpr Hex part(Hex hex) {
  return hex;
}
constexpr Fixed part(Fixed number) {
  return number;
}

// The types of all parts of a call, three bits each, the first lowest; 0 ends them.
enum PartType : u64 { PART_END, PART_STRING, PART_TEXT, PART_CHAR, PART_SIGNED, PART_UNSIGNED, PART_HEX, PART_FIXED };
constexpr i32 PART_BITS = 3;

template <class T>
constexpr PartType PART_TYPE = PART_END;
template <>
inline constexpr PartType PART_TYPE<const char*> = PART_STRING;
template <>
inline constexpr PartType PART_TYPE<PlainText> = PART_TEXT;
template <>
inline constexpr PartType PART_TYPE<char> = PART_CHAR;
template <>
inline constexpr PartType PART_TYPE<long long> = PART_SIGNED;
template <>
inline constexpr PartType PART_TYPE<unsigned long long> = PART_UNSIGNED;
template <>
inline constexpr PartType PART_TYPE<Hex> = PART_HEX;
template <>
inline constexpr PartType PART_TYPE<Fixed> = PART_FIXED;

template <class... Types>
consteval u64 part_types() {
  static_assert(sizeof...(Types) <= 64 / PART_BITS, "too many parts for one call");
  u64 types = 0;
  i32 shift = 0;
  ((types |= PART_TYPE<Types> << shift, shift += PART_BITS), ...);
  return types;
}

// The parts as texts, one after the other.
class Parts {
 public:
  explicit Parts(u64 types) : types_(types) {}
  bool next(Text* text);  // valid until the next one; false after the last

  va_list arguments;  // between the caller's va_start and va_end

 private:
  u64 types_;
  char number_[64];  // the longest has 20 digits, a point and 9
};

Writer& write_parts(Writer& to, u64 types, ...);

// Appends each argument in turn.
template <class... Args>
[[gnu::always_inline]] inline Writer& write(Writer& to, const Args&... args) {
  return write_parts(to, part_types<decltype(part(args))...>(), part(args)...);
}

}  // namespace edgellm
