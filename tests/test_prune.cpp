// Pruning, its budgets, and sparse matrices chosen where they pay.
#include "convert/change/prune.h"

#include <algorithm>

#include "convert_checks.h"

using namespace convert_checks;
using edgellm::convert::SparsityLayout;
using edgellm::convert::zeros_of;

namespace {

enum { I8_MASK = 6, I8_GROUP = 7 };

size_t zeros_in(const Values& values) {
  return static_cast<size_t>(std::count(values.begin(), values.end(), 0.0f));
}

TEST(budgets) {
  const std::vector<std::pair<int64_t, int64_t>> sizes = {{64, 64}, {64, 256}, {256, 64}, {8, 8}};
  int64_t all = 0, tensor_zeros = 0, erk_zeros = 0;
  const std::vector<int64_t> tensor = zeros_of(0.75, SparsityLayout::tensor, sizes),
                             erk = zeros_of(0.75, SparsityLayout::erk, sizes);
  for (size_t i = 0; i < sizes.size(); i++) {
    all += sizes[i].first * sizes[i].second;
    tensor_zeros += tensor[i];
    erk_zeros += erk[i];
  }
  CHECK_EQ(tensor[0], 64 * 64 * 3 / 4);
  CHECK_EQ(tensor_zeros, all * 3 / 4);
  CHECK(std::abs(erk_zeros - all * 3 / 4) <= 2);
  CHECK_EQ(erk[3], 0);  // it would be denser than dense
  // Densities are as (n + m) / (n m).
  double density[2];
  for (size_t i = 0; i < 2; i++)
    density[i] = 1 - static_cast<double>(erk[i]) / static_cast<double>(sizes[i].first * sizes[i].second);
  CHECK(std::fabs(density[0] / density[1] - (128.0 / 4096) / (320.0 / 16384)) < 1e-3);
  CHECK_EQ(zeros_of(0, SparsityLayout::erk, sizes)[1], 0);
}

TEST(the_smallest_become_zero) {
  Folder folder;
  Model model(Fill::random, false, true);
  for (float& value : model.tensors.at("layers.0.up").values)  // many of one magnitude
    value = value > 0 ? 0.5f : -0.5f;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  Options options = with_weights(Format::F32);
  options.sparsity = 0.625;
  ModelFile file = converted(folder, folder.path, options);
  for (const char* outer : {"embed", "head"})
    CHECK(file.tensors.at(outer).values == model.of(outer));
  for (const char* name : {"layers.0.q", "layers.1.down", "layers.0.up"}) {
    const Values &kept = file.tensors.at(name).values, &all = model.of(name);
    CHECK_EQ(zeros_in(kept), static_cast<size_t>(std::lround(0.625 * static_cast<double>(all.size()))));
    float largest_lost = 0, least_kept = INFINITY;
    for (size_t i = 0; i < all.size(); i++) {
      bool lost = kept[i] == 0;
      CHECK(lost || kept[i] == all[i]);
      float& bound = lost ? largest_lost : least_kept;
      bound = lost ? std::max(bound, std::fabs(all[i])) : std::min(bound, std::fabs(all[i]));
    }
    CHECK(largest_lost <= least_kept);
  }
}

// Sparse by pruning, or in the source already.
TEST(sparse_where_it_is_smaller) {
  Folder folder;
  Model model(Fill::random, false, true, {1, 128, 256, 2, 1, 64, 37, 16});
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  Options options;
  options.sparsity = 0.9;
  ModelFile compact = converted(folder, folder.path, options);
  check_form(compact, "layers.0.up", I8_MASK, ROW, TOKEN);
  check_form(compact, "embed", I8, ROW, GROUP32);
  CHECK_EQ(read_file(folder / "out.tm2").substr(0, 3), "SRN");
  options.formats.sparse = Format::I8_GROUP;
  ModelFile fast = converted(folder, folder.path, options);
  check_form(fast, "layers.0.up", I8_GROUP, ROW, TOKEN);
  CHECK(fast.tensors.at("layers.0.up").values == compact.tensors.at("layers.0.up").values);
  options.formats.sparse = Format::I8;
  check_form(converted(folder, folder.path, options), "layers.0.up", I4, NONE, GROUP32);
  options.formats.sparse = Format::I8_MASK;
  options.sparsity = 0.52;  // larger than i4, smaller than i8
  check_form(converted(folder, folder.path, options), "layers.0.up", I4, NONE, GROUP32);
  options.formats.weights = Format::I8;
  check_form(converted(folder, folder.path, options), "layers.0.up", I8_MASK, ROW, TOKEN);

  for (const char* name : {"layers.0.down", "head"}) {
    Values& values = model.tensors.at(name).values;
    for (size_t i = 0; i < values.size(); i++)
      values[i] *= i % 5 ? 0 : 1;
  }
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  ModelFile found = converted(folder, folder.path);
  check_form(found, "layers.0.down", I8_MASK, ROW, TOKEN);
  check_form(found, "head", I8_MASK, ROW, TOKEN);
  check_form(found, "layers.0.up", I4, NONE, GROUP32);
}

// q, k and v share their input, and so do gate and up: they are sparse together or not at all. The table of a sparse matrix makes
// few rows expensive, so that each alone would decide otherwise.
TEST(matrices_that_share_an_input_decide_together) {
  Shape shape;
  shape.dim = 96, shape.ffn = 200, shape.heads = 12, shape.kv_heads = 1;
  const Model model(Fill::random, false, false, shape);
  bool sparse_seen = false, dense_seen = false;
  for (double share : {0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9}) {
    for (Format form : {Format::I8_MASK, Format::I8_GROUP}) {
      Folder folder;
      write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
      Options options;
      options.sparsity = share;
      options.formats.sparse = form;
      ModelFile file = converted(folder, folder.path, options);  // which the runtime takes
      auto sparse = [&](const char* name) { return file.tensors.at(name).format >= I8_MASK; };
      CHECK(sparse("layers.0.q") == sparse("layers.0.k") && sparse("layers.0.q") == sparse("layers.0.v"));
      CHECK(sparse("layers.0.gate") == sparse("layers.0.up"));
      (sparse("layers.0.q") ? sparse_seen : dense_seen) = true;
    }
  }
  CHECK(sparse_seen && dense_seen);
}

TEST(the_report_and_the_comparison) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  Options options = with_weights(Format::F32);
  options.formats.embed = Format::F32;
  options.source = folder.path;
  options.destination = folder / "out.tm2";
  options.verify = true;
  std::ostringstream same, pruned;
  edgellm::convert::convert(options, same, false);
  CHECK(contains(same.str(), "largest difference of a logit 0 %"));
  CHECK(contains(same.str(), "the same best token after 16"));  // the whole context
  options.sparsity = 0.5;
  options.verbose = true;
  edgellm::convert::convert(options, pruned, false);
  CHECK(!contains(pruned.str(), "largest difference of a logit 0 %"));
  CHECK(contains(pruned.str(), "50.00"));
  for (const auto& entry : std::filesystem::directory_iterator(folder.path))
    CHECK(entry.path().extension() != ".partial");
}

}  // namespace
