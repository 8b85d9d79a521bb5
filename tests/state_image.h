// An image of a session's state as bytes that can be changed, with a second implementation of its checksum.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "engine/state.h"
#include "model_reader.h"
#include "open_engine.h"

namespace edgellm {

inline std::string hex(u64 value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// An image of a session, as bytes that can be changed.
struct StateImage {
  std::vector<u8> bytes;

  explicit StateImage(const Engine& engine, i32 session = 0, u64 sequence = 1)
      : bytes(static_cast<size_t>(state_image_bytes(engine)), 0xee) {
    save_state(engine, engine.sessions[session], sequence, bytes.data());
  }
  template <class T>
  T get(size_t at) const {
    return model_reader::at<T>(bytes, at);
  }
  template <class T>
  void set(size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  u64 checksum() const {
    std::vector<u8> summed = bytes;
    std::memset(summed.data() + offsetof(StateHeader, checksum), 0, 8);
    return model_reader::xxh64(summed);
  }
  void repair() { set(offsetof(StateHeader, checksum), checksum()); }
  Span<const u8> span() const { return {bytes.data(), static_cast<i64>(bytes.size())}; }
};

}  // namespace edgellm
