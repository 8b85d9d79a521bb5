// The converter's tables of sources, families and shapes, which --help is printed from: against docs/CONVERT.md, and against the
// models whose shapes they claim.
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "check.h"
#include "convert/family/open.h"
#include "convert/family/transformer.h"

using namespace edgellm::convert;

namespace {

// The rows of the table of sources.
std::vector<std::string> rows() {
  std::ifstream file("docs/CONVERT.md");
  std::vector<std::string> found;
  std::string line;
  while (std::getline(file, line) && !line.starts_with("| source |")) {
  }
  std::getline(file, line);  // below the heads of the columns
  while (std::getline(file, line) && line.starts_with("| "))
    found.push_back(line);
  return found;
}

// The row that begins with a name; empty if there is none.
std::string row_of(const std::string& name) {
  for (const std::string& row : rows()) {
    if (row.starts_with("| " + name)) return row;
  }
  return "";
}

// What stands in backticks in the last column, up to a semicolon.
std::vector<std::string> families_in(const std::string& row) {
  size_t begin = 0;
  for (int bars = 0; bars < 3; bars++)
    begin = row.find('|', begin) + 1;
  std::istringstream rest(row.substr(begin, row.find(';', begin) - begin));
  std::vector<std::string> found;
  for (std::string word; std::getline(rest, word, '`') && std::getline(rest, word, '`');)
    found.push_back(word);
  return found;
}

std::multiset<std::string> sorted(const std::vector<std::string>& words) {
  return {words.begin(), words.end()};
}

}  // namespace

TEST(the_documents_have_every_source_family_and_shape_and_no_other) {
  const std::vector<SourceKind> kinds = source_kinds();
  CHECK_EQ(rows().size(), kinds.size());
  size_t families = 0;
  for (const SourceKind& kind : kinds) {
    const std::string row = row_of(kind.name);
    CHECK(!row.empty() || (std::printf("docs/CONVERT.md has no row for %s\n", kind.name), false));
    if (row.empty()) continue;
    const bool same = sorted(families_in(row)) == sorted(kind.families);
    CHECK(same || (std::printf("docs/CONVERT.md: the row of %s has not what --help has\n", kind.name), false));
    families += kind.families.size();
  }
  CHECK(families > 25);
}

// So many weights have the models that are published under these names, and their slowest pair turns by so much a position:
// theta^(2 / head size - 1), in Llama 3.2 divided by 32.
TEST(shapes_of_random_weights_are_those_of_published_models) {
  const struct {
    const char* shape;
    edgellm::i64 weights;
    double slowest;
  } published[] = {{"smollm-135m", 134515008, std::pow(10000.0, -62.0 / 64)},
                   {"smollm-360m", 361821120, std::pow(10000.0, -62.0 / 64)},
                   {"qwen2-0.5b", 494032768, std::pow(1000000.0, -62.0 / 64)},
                   {"llama-3.2-1b", 1235814400, std::pow(500000.0, -62.0 / 64) / 32},
                   {"mamba-130m", 129135360, 0}};
  for (const auto& one : published) {
    const Model model = open_source(Source(std::string(SYNTHETIC) + one.shape));
    edgellm::i64 weights = 0;
    for (const auto& tensor : model.tensors) {
      if (tensor->name != "rope.inv_freq") {
        weights += tensor->rows * tensor->cols;
        continue;
      }
      std::vector<float> frequencies(static_cast<size_t>(tensor->cols));
      tensor->values(0, 1, frequencies.data());
      CHECK(std::fabs(frequencies.back() / one.slowest - 1) < 2e-7);
    }
    CHECK_EQ(weights, one.weights);
  }
}

TEST(each_part_has_names_of_its_own_in_every_source) {
  Transformer t;
  t.layers = 2, t.dim = 8, t.ffn_dim = 12, t.heads = 2, t.kv_heads = 1, t.head_dim = 4, t.vocab = 10, t.context = 16;
  const ModelTable table = transformer_family(t, "test");
  std::set<std::string> ours, published, gguf;
  for (const Part& part : table.parts) {
    CHECK(ours.insert(part.ours).second);
    if (!part.computed.empty()) continue;
    for (const std::string& name : part.names(Naming::published))
      CHECK(!name.empty() && published.insert(name).second);
    for (const std::string& name : part.names(Naming::gguf))
      CHECK(!name.empty() && gguf.insert(name).second);
  }
  CHECK_EQ(ours.size(), size_t{2 * 21 + 6});
}
