// The converter's tables of sources, families and shapes, which --help is printed from: against docs/CONVERT.md, and against the
// models whose shapes they claim.
#include <fstream>
#include <set>
#include <sstream>

#include "check.h"
#include "convert/family/open.h"
#include "convert/family/transformer.h"

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

// So many weights have the models that are published under these names.
TEST(shapes_of_random_weights_are_those_of_published_models) {
  const struct {
    const char* shape;
    edgellm::i64 weights;
  } published[] = {{"smollm-135m", 134515008},
                   {"smollm-360m", 361821120},
                   {"qwen2-0.5b", 494032768},
                   {"llama-3.2-1b", 1235814400},
                   {"mamba-130m", 129135360}};
  for (const auto& one : published) {
    const Model model = open_source(Source(std::string(SYNTHETIC) + one.shape));
    edgellm::i64 weights = 0;
    for (const auto& tensor : model.tensors) {
      if (tensor->name != "rope.inv_freq") weights += tensor->rows * tensor->cols;
    }
    CHECK_EQ(weights, one.weights);
  }
}

TEST(each_part_has_names_of_its_own_in_every_source) {
  Transformer t;
  t.layers = 2, t.dim = 8, t.ffn_dim = 12, t.heads = 2, t.kv_heads = 1, t.head_dim = 4, t.vocab = 10, t.context = 16;
  const Family family = transformer_family(t, "test");
  std::set<std::string> ours, published, gguf;
  for (const Part& part : family.parts) {
    CHECK(ours.insert(part.ours).second);
    if (!part.computed.empty()) continue;
    for (const std::string& name : part.names(Naming::published))
      CHECK(!name.empty() && published.insert(name).second);
    for (const std::string& name : part.names(Naming::gguf))
      CHECK(!name.empty() && gguf.insert(name).second);
  }
  CHECK_EQ(ours.size(), size_t{2 * 21 + 6});
}
