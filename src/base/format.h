// Text building in a caller's buffer: what snprintf would do, without the allocations of a static libc's printf.
// Output that does not fit is cut at the end of the buffer; the buffer is always NUL terminated.
#pragma once
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
  void clear() {
    size_ = 0;
    data_[0] = 0;
  }

 private:
  char* data_;
  i64 capacity_;
  i64 size_ = 0;
};

// Appends each argument in turn.
template <class... Args>
Writer& write(Writer& to, const Args&... args) {
  (to.add(args), ...);
  return to;
}

}  // namespace edgellm
