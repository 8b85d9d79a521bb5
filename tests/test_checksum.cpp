// XXH64 against published vectors, and pieces against the whole.
#include "base/checksum.h"
#include "check.h"

#include <string>
#include <vector>

using namespace edgellm;

TEST(known_values) {
  CHECK_EQ(checksum("", 0), 0xef46db3751d8e999u);
  CHECK_EQ(checksum("a", 1), 0xd24ec4f1a98c6e5bu);
  CHECK_EQ(checksum("abc", 3), 0x44bc2cf5ad770999u);
  std::string text = "Nobody inspects the spammish repetition";
  CHECK_EQ(checksum(text.data(), static_cast<i64>(text.size())), 0xfbcea83c8a378bf1u);
}

TEST(pieces_equal_the_whole) {
  std::vector<u8> data(301);
  for (size_t i = 0; i < data.size(); i++)
    data[i] = static_cast<u8>(i * 37 + 11);
  for (size_t size = 0; size <= 100; size++) {
    u64 whole = checksum(data.data(), static_cast<i64>(size));
    for (size_t cut = 0; cut <= size; cut++) {
      Checksum pieces;
      pieces.update(data.data(), static_cast<i64>(cut));
      pieces.update(data.data() + cut, static_cast<i64>(size - cut));
      CHECK_EQ(pieces.value(), whole);
    }
  }
  Checksum bytes;
  for (u8& byte : data)
    bytes.update(&byte, 1);
  CHECK_EQ(bytes.value(), checksum(data.data(), static_cast<i64>(data.size())));
}

// XXH64 once more, straight from the words of the specification: steps 1 to 6 over the whole input.
static u64 by_specification(const std::vector<u8>& data) {
  constexpr u64 P1 = 11400714785074694791u, P2 = 14029467366897019727u, P3 = 1609587929392839161u, P4 = 9650029242287828579u,
                P5 = 2870177450012600261u;
  auto rotate = [](u64 x, int n) { return x << n | x >> (64 - n); };
  auto word = [&](size_t at, size_t bytes) {
    u64 value = 0;
    for (size_t i = 0; i < bytes; i++)
      value |= u64{data[at + i]} << 8 * i;
    return value;
  };
  auto round = [&](u64 accumulator, u64 lane) { return rotate(accumulator + lane * P2, 31) * P1; };
  size_t at = 0;
  u64 sum = P5;
  if (data.size() >= 32) {
    u64 lanes[] = {P1 + P2, P2, 0, 0 - P1};
    for (; at + 32 <= data.size(); at += 32) {
      for (size_t i = 0; i < 4; i++)
        lanes[i] = round(lanes[i], word(at + 8 * i, 8));
    }
    sum = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    for (u64 lane : lanes)
      sum = (sum ^ round(0, lane)) * P1 + P4;
  }
  sum += data.size();
  for (; at + 8 <= data.size(); at += 8)
    sum = rotate(sum ^ round(0, word(at, 8)), 27) * P1 + P4;
  for (; at + 4 <= data.size(); at += 4)
    sum = rotate(sum ^ word(at, 4) * P1, 23) * P2 + P3;
  for (; at < data.size(); at++)
    sum = rotate(sum ^ word(at, 1) * P5, 11) * P1;
  sum = (sum ^ sum >> 33) * P2;
  sum = (sum ^ sum >> 29) * P3;
  return sum ^ sum >> 32;
}

TEST(every_length) {
  std::vector<u8> data;
  u64 state = 1;
  for (size_t size = 0; size < 300; size++) {
    CHECK_EQ(checksum(data.data(), static_cast<i64>(size)), by_specification(data));
    state = state * 6364136223846793005u + 1442695040888963407u;
    data.push_back(static_cast<u8>(state >> 56));
  }
}

// The value may be asked for in between, and three pieces end in a stripe that is not whole.
TEST(more_may_follow) {
  std::vector<u8> data(200);
  for (size_t i = 0; i < data.size(); i++)
    data[i] = static_cast<u8>(i * 91 + 5);
  for (i64 first : {0, 1, 31, 32, 33}) {
    for (i64 second : {0, 1, 30, 31, 32, 64, 65}) {
      Checksum sum;
      sum.update(data.data(), first);
      CHECK_EQ(sum.value(), checksum(data.data(), first));
      sum.update(data.data() + first, second);
      CHECK_EQ(sum.value(), checksum(data.data(), first + second));
      sum.update(nullptr, 0);
      sum.update(data.data() + first + second, 200 - first - second);
      CHECK_EQ(sum.value(), by_specification(data));
    }
  }
}
