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
