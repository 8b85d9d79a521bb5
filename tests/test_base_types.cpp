// The small things that everything is made of: texts and spans, rounding to units, the arena, sorting, and errors.
#include <algorithm>
#include <vector>

#include "base/arena.h"
#include "base/sort.h"
#include "base/status.h"
#include "check.h"
#include "child.h"

using namespace edgellm;

static_assert(min(2, 3) == 2 && min(3, 2) == 2 && max(2, 3) == 3 && max(3, 2) == 3 && min(-1, -1) == -1 &&
              max(-1, -1) == -1);
static_assert(align_up(0, 64) == 0 && align_up(1, 64) == 64 && align_up(63, 64) == 64 && align_up(64, 64) == 64 &&
              align_up(65, 64) == 128);
static_assert(align_up(i64{5} << 40, i64{1} << 41) == i64{3} << 41);
static_assert(div_up(0, 3) == 0 && div_up(1, 3) == 1 && div_up(3, 3) == 1 && div_up(4, 3) == 2 &&
              div_up(i64{7} << 40, i64{2} << 40) == 4);
static_assert(Text("").size == 0 && Text("abc").size == 3 && Text().size == 0);

TEST(texts) {
  const Text text("abcdef", 5);
  CHECK(text == "abcde" && !(text == "abcdf") && !(text == "bbcde") && !(text == "abcd") && !(text == "abcdef"));
  CHECK(text.slice(1, 3) == "bcd" && text.slice(5, 0) == "" && text.from(2) == "cde" && text.from(5) == "" &&
        text.from(0) == text);
  CHECK(Text() == "" && Text("a\0b", 3) == Text("a\0b", 3) && !(Text("a\0b", 3) == Text("a\0c", 3)));
  CHECK_EQ(text[4], 'e');
  int numbers[] = {1, 2, 3, 4};
  Span<int> span = {numbers, 4};
  int sum = 0;
  for (int number : span.slice(1, 2))
    sum += number;
  CHECK_EQ(sum, 5);
  span[3] = 9;
  const Span<const int> read = span;
  CHECK(read.data == numbers && read.count == 4 && read[3] == 9 && read.end() - read.begin() == 4 && Span<int>().count == 0);
}

// The same calls over an arena that counts and over one that gives: the same sizes, every piece on a boundary of 64 bytes, none
// over another.
TEST(arena) {
  alignas(64) static u8 block[2048];
  Arena counting, giving(block, sizeof block);
  CHECK(counting.counting() && !giving.counting());
  i64 expected = 0;
  for (i64 count : {0, 1, 3, 16, 17, 32, 33, 64, 65}) {
    CHECK(counting.take<u32>(count) == nullptr);
    u32* piece = giving.take<u32>(count);
    CHECK(reinterpret_cast<u8*>(piece) == block + expected);
    CHECK_EQ(reinterpret_cast<uintptr_t>(piece) % 64, uintptr_t{0});
    expected += (4 * count + 63) / 64 * 64;
    CHECK_EQ(giving.used(), expected);
    CHECK_EQ(counting.used(), expected);
  }
  const i64 left = static_cast<i64>(sizeof block) - expected;
  CHECK(giving.take<u8>(left) == block + expected);  // to the last byte
  CHECK_EQ(giving.used(), i64{sizeof block});
  CHECK_EQ(giving.take<u64>(0) == nullptr, false);
  CHECK(counting.take<u8>(i64{1} << 61) == nullptr && counting.used() == expected + (i64{1} << 61));
}

// What does not fit is a mistake of ours, and ends the process.
TEST(an_arena_that_is_exhausted) {
  alignas(64) static u8 block[128];
  struct Row {
    bool counts;
    i64 first, second;
  };
  for (Row row : {Row{false, 129, 0}, Row{false, 65, 1}, Row{false, -1, 0}, Row{true, INT64_MAX - 63, 0},
                  Row{true, INT64_MAX - 128, 64}}) {
    check::Child child = check::in_child([&] {
      Arena arena = row.counts ? Arena() : Arena(block, sizeof block);
      arena.take<u8>(row.first);
      arena.take<u8>(row.second);
      return 0;
    });
    CHECK(child.exit_code != 0);
  }
  check::Child child = check::in_child([&] {
    Arena arena(block, sizeof block);
    arena.take<u8>(64);
    arena.take<u8>(64);
    Arena counts;
    counts.take<u8>(INT64_MAX - 64);
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
}

// Every size up to 40 and some larger, with many equal values, against the library's sort.
TEST(sorting) {
  u64 state = 1;
  for (int size = 0; size < 2000; size = size < 40 ? size + 1 : size * 3) {
    std::vector<int> values(static_cast<size_t>(size));
    for (int range : {3, 1000000}) {
      for (int& value : values) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        value = static_cast<int>(state >> 33) % range;
      }
      std::vector<int> expected = values, falling = values;
      std::sort(expected.begin(), expected.end());
      shell_sort(Span<int>{values.data(), size}, [](int a, int b) { return a > b; });
      CHECK(values == expected);
      std::reverse(expected.begin(), expected.end());
      shell_sort(Span<int>{falling.data(), size}, [](int a, int b) { return a < b; });
      CHECK(falling == expected);
    }
  }
}

static Status passes_on(const Status& inner, int* after) {
  EDGELLM_TRY(inner);
  ++*after;
  return {};
}

TEST(errors) {
  struct Row {
    Status status;
    Code code;
    int number;
    bool signal;
  };
  for (const Row& row : {Row{Status(), Code::ok, 0, false}, Row{failed("x"), Code::failed, 1, false},
                         Row{usage_error("x"), Code::usage, 2, false}, Row{bad_model("x"), Code::bad_model, 3, false},
                         Row{Status::error(Code::hung_up, ""), Code::hung_up, 129, true},
                         Row{Status::error(Code::interrupted, ""), Code::interrupted, 130, true},
                         Row{Status::error(Code::closed, ""), Code::closed, 141, false},
                         Row{Status::error(Code::terminated, ""), Code::terminated, 143, true}}) {
    CHECK(row.status.code() == row.code && static_cast<int>(row.code) == row.number);
    CHECK_EQ(row.status.ok(), row.number == 0);
    CHECK_EQ(row.status.interrupted(), row.signal);
    int after = 0;
    Status passed = passes_on(row.status, &after);
    CHECK(passed.code() == row.code && Text(passed.text()) == row.status.text());
    CHECK_EQ(after, row.number == 0);
  }
  CHECK_EQ(std::string(failed("a ", 1, 'c', Text("text", 2), -5ll, 7ull, Hex{255, 4}, Fixed{1.5, 2}).text()),
           std::string("a 1cte-5700ff1.50"));
}
