// What the converter's tables know, and --help prints of them, against docs/CONVERT.md.
#include <fstream>
#include <set>
#include <sstream>

#include "check.h"
#include "convert/family/open.h"

using namespace edgellm::convert;

namespace {

// The row of the table of sources that begins with a name; empty if there is none.
std::string row_of(const std::string& name) {
  std::ifstream file("docs/CONVERT.md");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with("| " + name)) return line;
  }
  return "";
}

}  // namespace

TEST(every_source_family_and_shape_is_in_the_documents) {
  size_t families = 0;
  for (const SourceKind& kind : source_kinds()) {
    const std::string row = row_of(kind.name);
    CHECK(!row.empty());
    if (row.empty()) std::printf("docs/CONVERT.md has no row for %s\n", kind.name);
    for (const std::string& family : kind.families) {
      const bool named = row.find("`" + family + "`") != std::string::npos;
      CHECK(named);
      if (!named) std::printf("docs/CONVERT.md: the row of %s lacks %s\n", kind.name, family.c_str());
      families++;
    }
  }
  CHECK(families > 20);
}

// What a row names behind `from` in backticks is known, so that nothing stays there that is gone.
TEST(every_family_and_shape_in_the_documents_is_known) {
  const struct {
    const char *kind, *from;
  } lists[] = {{"Hugging Face folder", "`config.json` | "}, {"GGUF", "architectures "}, {"random weights", "tiny one: "}};
  for (const auto& list : lists) {
    std::set<std::string> known;
    for (const SourceKind& kind : source_kinds()) {
      if (kind.name == std::string(list.kind)) known.insert(kind.families.begin(), kind.families.end());
    }
    const std::string row = row_of(list.kind);
    const size_t begin = row.find(list.from);
    CHECK(begin != std::string::npos);
    if (begin == std::string::npos) continue;
    std::istringstream rest(row.substr(begin + std::string(list.from).size(), row.find(';', begin) - begin));
    std::string word;
    while (std::getline(rest, word, '`') && std::getline(rest, word, '`'))
      CHECK(known.contains(word) || (std::printf("unknown: %s\n", word.c_str()), false));
  }
}
