// Fixed-width names, a span and a text view: the vocabulary of every room above.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace edgellm {

using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using f32 = float;
using f64 = double;

static_assert(sizeof(f32) == 4 && sizeof(f64) == 8);

template <class T>
struct Span {
  T* data = nullptr;
  i64 count = 0;

  T& operator[](i64 i) const { return data[i]; }
  T* begin() const { return data; }
  T* end() const { return data + count; }
  Span slice(i64 first, i64 n) const { return {data + first, n}; }
  operator Span<const T>() const { return {data, count}; }
};

// Bytes that somebody else owns; not NUL terminated.
struct Text {
  const char* data = "";
  i64 size = 0;

  constexpr Text() = default;
  constexpr Text(const char* bytes, i64 n) : data(bytes), size(n) {}
  // So that a compiler for size knows the length of a literal, instead of counting it at each place.
  [[gnu::always_inline]] constexpr Text(const char* literal)
      : data(literal), size(static_cast<i64>(__builtin_strlen(literal))) {}
  char operator[](i64 i) const { return data[i]; }
  Text slice(i64 first, i64 n) const { return {data + first, n}; }
  Text from(i64 first) const { return {data + first, size - first}; }
};

static inline bool operator==(Text a, Text b) {
  if (a.size != b.size) return false;
  for (i64 i = 0; i < a.size; i++) {
    if (a.data[i] != b.data[i]) return false;
  }
  return true;
}

template <class T>
static constexpr T min(T a, T b) {
  return b < a ? b : a;
}

template <class T>
static constexpr T max(T a, T b) {
  return a < b ? b : a;
}

// `unit` is a power of two.
template <class T>
static constexpr T align_up(T value, T unit) {
  return (value + unit - 1) & ~(unit - 1);
}

template <class T>
static constexpr T div_up(T value, T unit) {
  return (value + unit - 1) / unit;
}

}  // namespace edgellm
