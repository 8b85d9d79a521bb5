// The bytes of an input, taken from the front. Past its end there are zeros.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/types.h"

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), left_(size) {}

  size_t left() const { return left_; }

  template <class T>
  T take() {
    T value = {};
    const size_t size = std::min(sizeof value, left_);
    if (size) std::memcpy(&value, at_, size);
    skip(size);
    return value;
  }

  std::string text(size_t size) {
    size = std::min(size, left_);
    std::string taken(reinterpret_cast<const char*>(at_), size);
    skip(size);
    return taken;
  }

  // Up to a zero byte, which is taken too.
  std::string line() {
    const void* zero = left_ ? std::memchr(at_, 0, left_) : nullptr;
    std::string taken = text(zero ? static_cast<size_t>(static_cast<const uint8_t*>(zero) - at_) : left_);
    skip(std::min<size_t>(1, left_));
    return taken;
  }

  std::string rest() { return text(left_); }

 private:
  void skip(size_t size) { at_ += size, left_ -= size; }

  const uint8_t* at_;
  size_t left_;
};
