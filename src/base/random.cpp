#include "base/random.h"

namespace edgellm {

Philox philox(Philox counter, u64 key) {
  u32 key0 = static_cast<u32>(key), key1 = static_cast<u32>(key >> 32);
  u32* c = counter.word;
  for (i32 round = 0; round < 10; round++) {
    u64 product0 = u64{0xD2511F53} * c[0];
    u64 product1 = u64{0xCD9E8D57} * c[2];
    u32 high0 = static_cast<u32>(product0 >> 32), high1 = static_cast<u32>(product1 >> 32);
    c[0] = high1 ^ c[1] ^ key0;
    c[1] = static_cast<u32>(product1);
    c[2] = high0 ^ c[3] ^ key1;
    c[3] = static_cast<u32>(product0);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return counter;
}

u64 random_bits(u64 seed, u64 index) {
  Philox block = philox({{static_cast<u32>(index), static_cast<u32>(index >> 32), 0, 0}}, seed);
  return u64{block.word[1]} << 32 | block.word[0];
}

f64 random_unit(u64 seed, u64 index) {
  return static_cast<f64>(random_bits(seed, index) >> 11) * 0x1p-53;
}

}  // namespace edgellm
