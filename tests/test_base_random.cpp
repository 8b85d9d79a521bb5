#include <algorithm>
#include <set>

#include "base/random.h"
#include "check.h"
#include "platform/seed.h"

using namespace edgellm;

static void check_block(Philox counter, u64 key, Philox expected) {
  Philox got = philox(counter, key);
  for (int i = 0; i < 4; i++)
    CHECK_EQ(got.word[i], expected.word[i]);
}

// The known answers published with the algorithm (Random123, tests/kat_vectors, philox4x32 10).
TEST(known_answers) {
  check_block({{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}});
  check_block({{~0u, ~0u, ~0u, ~0u}}, ~u64{0}, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}});
  check_block({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0x299f31d0a4093822,
              {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}});
}

TEST(any_order_same_numbers) {
  u64 forward = random_bits(7, 41);
  (void)random_bits(7, 1000000);
  CHECK_EQ(random_bits(7, 41), forward);
  CHECK(random_bits(8, 41) != forward);
  CHECK_EQ(random_bits(0, 0), 0xe169c58d6627e8d5);
}

// The block function round by round, as the paper writes it, for keys and counters whose every word matters.
TEST(any_key_and_counter) {
  u64 state = 1;
  auto word = [&] {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<u32>(state >> 32);
  };
  for (int i = 0; i < 200; i++) {
    const u32 key[2] = {word(), word()}, counter[4] = {word(), word(), word(), word()};
    u32 k[2] = {key[0], key[1]}, c[4] = {counter[0], counter[1], counter[2], counter[3]};
    for (int round = 0; round < 10; round++) {
      const u64 a = u64{c[0]} * 3528531795u, b = u64{c[2]} * 3449720151u;
      const u32 next[4] = {static_cast<u32>(b >> 32) ^ c[1] ^ k[0], static_cast<u32>(b),
                           static_cast<u32>(a >> 32) ^ c[3] ^ k[1], static_cast<u32>(a)};
      std::copy(next, next + 4, c);
      k[0] += 2654435769u, k[1] += 3144134277u;
    }
    check_block({{counter[0], counter[1], counter[2], counter[3]}}, u64{key[1]} << 32 | key[0], {{c[0], c[1], c[2], c[3]}});
  }
  // A number of a sequence is the first two words of the block with its index as the counter and the seed as the key.
  for (u64 index : {u64{0}, u64{1}, u64{0xffffffff}, u64{0x100000000}, u64{0x123456789abcdef0}}) {
    const u64 seed = 0xfedcba9876543210 + index;
    const Philox block = philox({{static_cast<u32>(index), static_cast<u32>(index >> 32), 0, 0}}, seed);
    CHECK_EQ(random_bits(seed, index), u64{block.word[1]} << 32 | block.word[0]);
    CHECK_EQ(random_unit(seed, index) * 9007199254740992.0, static_cast<f64>(random_bits(seed, index) / 2048));
  }
}

TEST(unit_interval) {
  const u64 n = 20000;
  int bins[10] = {};
  for (u64 i = 0; i < n; i++) {
    f64 x = random_unit(3, i);
    CHECK(x >= 0 && x < 1);
    bins[static_cast<int>(x * 10)]++;
  }
  for (int count : bins)
    CHECK(count > 1800 && count < 2200);  // five sigma
}

TEST(drawn_seeds_differ) {
  std::set<u64> seen;
  for (int i = 0; i < 100; i++)
    seen.insert(draw_seed());
  CHECK_EQ(seen.size(), size_t{100});
}
