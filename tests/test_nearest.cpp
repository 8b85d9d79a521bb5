// The nearest of some names: each kind of edit, where a name is no longer near, and long texts.
#include <algorithm>
#include <string>
#include <vector>

#include "base/nearest.h"
#include "check.h"

using namespace edgellm;

namespace {

std::string nearest(const std::string& typed, const std::vector<std::string>& names) {
  Nearest near(Text(typed.data(), static_cast<i64>(typed.size())));
  for (const std::string& name : names)
    near.offer(Text(name.data(), static_cast<i64>(name.size())));
  CHECK_EQ(near.found(), near.name().size > 0);
  return std::string(near.name().data, static_cast<size_t>(near.name().size));
}

// Edits by the definition, slowly.
i64 edits(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return static_cast<i64>(a.size() + b.size());
  const std::string a1 = a.substr(1), b1 = b.substr(1);
  i64 best = std::min(std::min(edits(a1, b), edits(a, b1)) + 1, edits(a1, b1) + (a[0] != b[0]));
  if (a.size() > 1 && b.size() > 1 && a[0] == b[1] && a[1] == b[0])
    best = std::min(best, edits(a.substr(2), b.substr(2)) + 1);
  return best;
}

}  // namespace

TEST(near_and_not_near) {
  struct Row {
    const char* typed;
    std::vector<std::string> names;
    const char* expected;
  };
  const std::string letters30(30, 'x'), letters31(31, 'x'), letters32(32, 'x');
  const std::vector<std::string> commands = {"run", "chat", "bench", "eval", "info", "selftest", "tokenize", "detokenize"};
  for (const Row& row : {Row{"bnech", commands, "bench"},
                         {"benhc", commands, "bench"},
                         {"caht", commands, "chat"},
                         {"cht", commands, "chat"},
                         {"chhat", commands, "chat"},
                         {"chit", commands, "chat"},
                         {"run", commands, "run"},
                         {"ru", commands, "run"},
                         {"rub", commands, "run"},
                         {"ur", commands, ""},
                         {"selt", commands, ""},
                         {"sefltets", commands, "selftest"},
                         {"tokenise", commands, "tokenize"},
                         {"detokenise", commands, "detokenize"},
                         {"etokenize", commands, "tokenize"},  // one edit from both: the first is kept
                         {"help", commands, ""},
                         {"", commands, ""},
                         {"a", {"a"}, "a"},
                         {"b", {"a"}, ""},
                         {"ac", {"ab"}, ""},
                         {"abd", {"abc"}, "abc"},
                         {"abxy", {"abcd"}, ""},
                         {"abxye", {"abcde"}, "abcde"},
                         {"abxyzfgh", {"abcdefgh"}, ""},
                         {"abcd", {}, ""},
                         {"bench", {"branch", "bunch", "bench", "beach"}, "bench"},
                         {letters31.c_str(), {letters30}, letters30.c_str()},
                         {letters30.c_str(), {letters31}, letters31.c_str()},
                         {letters32.c_str(), {letters31}, ""},
                         {letters31.c_str(), {letters32}, ""}}) {
    CHECK_EQ(nearest(row.typed, row.names), std::string(row.expected));
  }
}

// Every text of up to four letters of two against each other, and of up to five against one of five.
TEST(as_by_the_definition) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; texts[i].size() < 5; i++) {
    for (char letter : {'a', 'b'})
      texts.push_back(texts[i] + letter);
  }
  for (const std::string& typed : texts) {
    for (const std::string& name : texts) {
      const i64 apart = edits(typed, name);
      const bool near = apart <= 2 && 2 * apart < static_cast<i64>(name.size());
      CHECK_EQ(nearest(typed, {name}), near ? name : std::string());
    }
  }
}
