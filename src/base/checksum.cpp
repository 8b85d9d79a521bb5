#include "base/checksum.h"

#include <string.h>

namespace edgellm {
namespace {

// Names and steps are those of the specification.
constexpr u64 PRIME1 = 0x9E3779B185EBCA87u;
constexpr u64 PRIME2 = 0xC2B2AE3D27D4EB4Fu;
constexpr u64 PRIME3 = 0x165667B19E3779F9u;
constexpr u64 PRIME4 = 0x85EBCA77C2B2AE63u;
constexpr u64 PRIME5 = 0x27D4EB2F165667C5u;
constexpr i64 STRIPE = 32;

u64 rotate_left(u64 x, i32 bits) {
  return x << bits | x >> (64 - bits);
}

u64 load64(const u8* p) {
  u64 x;
  memcpy(&x, p, 8);
  return x;
}

u64 load32(const u8* p) {
  u32 x;
  memcpy(&x, p, 4);
  return x;
}

u64 round(u64 lane, u64 input) {
  return rotate_left(lane + input * PRIME2, 31) * PRIME1;
}

u64 merge(u64 sum, u64 lane) {
  return (sum ^ round(0, lane)) * PRIME1 + PRIME4;
}

// Whole stripes only.
void consume(u64 lanes[4], const u8* p, i64 stripes) {
  u64 a = lanes[0], b = lanes[1], c = lanes[2], d = lanes[3];
  for (i64 i = 0; i < stripes; i++, p += STRIPE) {
    a = round(a, load64(p));
    b = round(b, load64(p + 8));
    c = round(c, load64(p + 16));
    d = round(d, load64(p + 24));
  }
  lanes[0] = a, lanes[1] = b, lanes[2] = c, lanes[3] = d;
}

}  // namespace

Checksum::Checksum() : lanes_{PRIME1 + PRIME2, PRIME2, 0, 0 - PRIME1} {}

void Checksum::update(const void* data, i64 bytes) {
  if (bytes == 0) return;  // data may be null then
  const u8* p = static_cast<const u8*>(data);
  i64 held = static_cast<i64>(total_ % STRIPE);
  total_ += static_cast<u64>(bytes);
  if (held > 0) {
    i64 taken = min(bytes, STRIPE - held);
    memcpy(pending_ + held, p, static_cast<size_t>(taken));
    if (held + taken < STRIPE) return;
    consume(lanes_, pending_, 1);
    p += taken;
    bytes -= taken;
  }
  consume(lanes_, p, bytes / STRIPE);
  if (bytes % STRIPE > 0) memcpy(pending_, p + bytes / STRIPE * STRIPE, static_cast<size_t>(bytes % STRIPE));
}

u64 Checksum::value() const {
  u64 sum = PRIME5;
  if (total_ >= STRIPE) {
    sum = rotate_left(lanes_[0], 1) + rotate_left(lanes_[1], 7) + rotate_left(lanes_[2], 12) + rotate_left(lanes_[3], 18);
    for (u64 lane : lanes_)
      sum = merge(sum, lane);
  }
  sum += total_;
  const u8* p = pending_;
  i64 left = static_cast<i64>(total_ % STRIPE);
  for (; left >= 8; left -= 8, p += 8)
    sum = rotate_left(sum ^ round(0, load64(p)), 27) * PRIME1 + PRIME4;
  if (left >= 4) {
    sum = rotate_left(sum ^ load32(p) * PRIME1, 23) * PRIME2 + PRIME3;
    left -= 4, p += 4;
  }
  for (; left > 0; left--, p++)
    sum = rotate_left(sum ^ *p * PRIME5, 11) * PRIME1;
  sum = (sum ^ sum >> 33) * PRIME2;
  sum = (sum ^ sum >> 29) * PRIME3;
  return sum ^ sum >> 32;
}

u64 checksum(const void* data, i64 bytes) {
  Checksum all;
  all.update(data, bytes);
  return all.value();
}

}  // namespace edgellm
