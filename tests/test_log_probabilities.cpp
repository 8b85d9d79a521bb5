// Log probabilities against the definition in wider precision, with every kernel set.
#include "engine/log_probabilities.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/checksum.h"
#include "base/math.h"
#include "check.h"
#include "platform/cpu.h"

using namespace edgellm;

namespace {

constexpr f32 NONE = LEAST_LOG_PROBABILITY;
const f32 NOT_A_NUMBER = std::nanf("");

std::vector<Kernels> all_kernels() {
  std::vector<Kernels> sets;
  for (i32 i = 0; isa_name(i); i++) {
    Kernels table;
    if (select_kernels(isa_name(i), cpu_features(), &table)) sets.push_back(table);
  }
  return sets;
}

// One reader and its memory.
struct Reader {
  explicit Reader(i32 vocab) {
    Arena counting;
    LogProbabilities().place(counting, vocab);
    block.resize(static_cast<size_t>(counting.used()) + 64);
    const size_t skip = (64 - reinterpret_cast<uintptr_t>(block.data()) % 64) % 64;
    Arena arena(block.data() + skip, counting.used());
    figures.place(arena, vocab);
  }
  std::vector<u8> block;
  LogProbabilities figures;
};

std::vector<f32> random_row(i32 vocab, f32 width, u64 seed) {
  std::vector<f32> row(static_cast<size_t>(vocab));
  for (f32& logit : row) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    logit = (static_cast<f32>(seed >> 40) * 0x1p-24f - 0.5f) * width;
  }
  return row;
}

std::vector<f64> expected(const std::vector<f32>& row) {
  const long double most = static_cast<long double>(*std::max_element(row.begin(), row.end()));
  long double sum = 0;
  for (f32 logit : row)
    sum += std::exp(static_cast<long double>(logit) - most);
  std::vector<f64> values;
  for (f32 logit : row)
    values.push_back(static_cast<f64>(static_cast<long double>(logit) - most - std::log(sum)));
  return values;
}

// Ids from most to least probable.
std::vector<i32> ranked(const std::vector<f32>& row) {
  std::vector<i32> ids(row.size());
  for (size_t i = 0; i < ids.size(); i++)
    ids[i] = static_cast<i32>(i);
  std::sort(ids.begin(), ids.end(), [&](i32 a, i32 b) {
    const f32 x = row[static_cast<size_t>(a)], y = row[static_cast<size_t>(b)];
    return x > y || (!(x < y) && a < b);
  });
  return ids;
}

bool same_row(const std::vector<f32>& a, const std::vector<f32>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(f32)) == 0;
}

}  // namespace

TEST(what_the_definition_gives) {
  f64 worst = 0;
  for (const Kernels& kernels : all_kernels()) {
    for (i32 vocab : {1, 2, 15, 20, 21, 1023, 1024, 1025, 2049, 50000}) {
      for (f32 width : {0.0f, 1.0f, 40.0f, 400.0f}) {
        const std::vector<f32> row = random_row(vocab, width, static_cast<u64>(vocab) + 7);
        const std::vector<f64> values = expected(row);
        const std::vector<i32> ids = ranked(row);
        std::vector<f32> given = row;
        Reader reader(vocab);
        for (i32 count : {0, 1, 5, 20}) {
          reader.figures.read(kernels, given.data(), count);
          CHECK(same_row(row, given));
          const Span<const LogProbability> top = reader.figures.top();
          CHECK_EQ(top.count, std::min(count, vocab));
          i64 wrong = 0;
          for (i64 i = 0; i < top.count; i++)
            wrong += top[i].id != ids[static_cast<size_t>(i)] ||
                     bits_to<u32>(top[i].value) != bits_to<u32>(reader.figures.of(top[i].id));
          CHECK_EQ(wrong, 0);
        }
        std::fill(given.begin(), given.end(), NOT_A_NUMBER);  // a draw uses the row up
        for (i32 id = 0; id < vocab; id++) {
          const f64 value = static_cast<f64>(reader.figures.of(id)), exact = values[static_cast<size_t>(id)];
          worst = std::max(worst, std::fabs(value - exact) / std::max(1.0, std::fabs(exact)));
        }
      }
    }
  }
  std::printf("largest error: %.3g of max(1, |ln p|)\n", worst);
  CHECK(worst < 1e-6);
}

TEST(every_kernel_set_gives_the_same_bits_as_every_machine) {
  for (const Kernels& kernels : all_kernels()) {
    Checksum sum;
    for (i32 vocab : {1, 100, 1024, 5000}) {
      const std::vector<f32> row = random_row(vocab, 30, static_cast<u64>(vocab));
      Reader reader(vocab);
      reader.figures.read(kernels, row.data(), 20);
      for (i32 id = 0; id < vocab; id++) {
        const u32 bits = bits_to<u32>(reader.figures.of(id));
        sum.update(&bits, sizeof bits);
      }
      for (const LogProbability& entry : reader.figures.top())
        sum.update(&entry.id, sizeof entry.id);
    }
    CHECK_EQ(sum.value(), 3182564735497853678u);
  }
}

TEST(equal_logits_go_by_their_ids) {
  std::vector<f32> row(3000, 1.0f);
  row[2500] = row[1200] = row[40] = 2.0f;
  Reader reader(3000);
  for (const Kernels& kernels : all_kernels()) {
    reader.figures.read(kernels, row.data(), 5);
    std::string ids;
    for (const LogProbability& entry : reader.figures.top())
      ids += std::to_string(entry.id) + " ";
    CHECK_EQ(ids, "40 1200 2500 0 1 ");
  }
}

TEST(logits_that_are_not_finite) {
  struct Case {
    std::vector<f32> row;
    std::vector<f64> values;
    std::string top;  // three ids
  };
  const f32 infinity = INFINITY_F32;
  const f64 half = -std::log(2.0), third = -std::log(3.0), none = static_cast<f64>(NONE);
  const Case cases[] = {
      {{NOT_A_NUMBER, 0, -infinity, 0}, {none, half, none, half}, "1 3 0 "},
      {{-infinity, infinity, 5, infinity}, {none, half, none, half}, "1 3 2 "},
      {{infinity, NOT_A_NUMBER, NOT_A_NUMBER, 3}, {0, none, none, none}, "0 3 1 "},
      {{-infinity, -infinity, -infinity}, {third, third, third}, "0 1 2 "},
      {{NOT_A_NUMBER, NOT_A_NUMBER, NOT_A_NUMBER}, {third, third, third}, "0 1 2 "},  // of which no id is drawn
      {{0, -9998, -9999.5f, -20000}, {0, -9998, none, none}, "0 1 2 "},
      {{FLT_MAX, -FLT_MAX, FLT_MAX}, {half, none, half}, "0 2 1 "},
  };
  for (const Kernels& kernels : all_kernels()) {
    for (const Case& c : cases) {
      Reader reader(static_cast<i32>(c.row.size()));
      reader.figures.read(kernels, c.row.data(), 3);
      std::string ids;
      for (const LogProbability& entry : reader.figures.top())
        ids += std::to_string(entry.id) + " ";
      CHECK_EQ(ids, c.top);
      for (size_t id = 0; id < c.row.size(); id++)
        CHECK(std::fabs(static_cast<f64>(reader.figures.of(static_cast<i32>(id))) - c.values[id]) < 1e-6);
    }
  }
}
