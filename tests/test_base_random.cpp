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
