// What blocks refuse to be loaded with, beyond keys that are missing and tensors of another shape (test_model_keys.cpp), and the steps
// in which they run: any number of ids at a time gives the same bits.
#include "files.h"
#include "make_model.h"
#include "make_recurrent.h"
#include "model_reader.h"
#include "open_engine.h"

using namespace edgellm;

namespace {

std::string says(const std::string& path) {
  Span<const u8> map;
  CHECK(map_file(path.c_str(), {}, &map).ok());
  EngineOptions options;
  options.file = map;
  options.threads = 1;
  Engine engine;
  const Status status = plan_engine(options, &engine);
  CHECK(status.ok() || status.code() == Code::bad_model);
  const std::string words = status.text();
  release_memory(map);
  return words;
}

template <class Recipe>
std::string made(const Recipe& recipe) {
  static i32 number = 0;
  const std::string path = temporary_path("blocks" + std::to_string(number++) + ".tm2");
  write_model(recipe, path);
  return path;
}

std::string with_head_dim(convert::Rwkv shape, u32 head_dim) {
  RecurrentRecipe recipe = {.shape = rwkv7(shape), .weights = Format::F32};
  for (auto& [key, value] : recipe.shape.family.metadata)
    if (key == "head_dim") value = head_dim;
  return says(made(recipe));
}

// The file with one matrix that wants its input quantised otherwise.
std::string wanting_another_input(const ModelRecipe& recipe, const std::string& tensor) {
  const std::string path = made(recipe);
  std::vector<u8> bytes = read_array<u8>(path);
  FileHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const auto table = bytes.begin() + header.tensor_offset, end = table + header.tensor_count * i64{sizeof(TensorEntry)};
  for (auto at = table; at < end; at += sizeof(TensorEntry)) {
    TensorEntry* entry = reinterpret_cast<TensorEntry*>(&*at);
    if (tensor == entry->name) entry->activations = static_cast<u8>(Quantization::group32);
  }
  model_reader::Buffer summed(bytes.begin(), bytes.begin() + 48);
  summed.insert(summed.end(), bytes.begin() + header.metadata_offset,
                bytes.begin() + header.metadata_offset + header.metadata_bytes);
  summed.insert(summed.end(), table, end);
  header.table_checksum = model_reader::xxh64(summed);
  std::memcpy(bytes.data(), &header, sizeof header);
  write_file(path, {bytes.begin(), bytes.end()});
  return says(path);
}

}  // namespace

TEST(shapes_that_do_not_go_together) {
  using More = convert::Metadata;
  const struct {
    const char* blocks;
    More more;
    const char* words;
  } cases[] = {
      {"attention ffn", {{"kv_heads", 3u}}, "metadata: 4 heads are not a multiple of 3 kv_heads"},
      {"attention ffn", {{"kv_heads", 8u}}, "metadata: 4 heads are not a multiple of 8 kv_heads"},
      {"attention ffn", {{"heads", 4096u}, {"head_dim", 33u}}, "metadata: 4096 heads of 33 are wider than 131072"},
      {"attention ffn",
       {{"heads", 4096u}, {"head_dim", 32u}},
       "tensor layers.0.attn_sub_norm: rank 1 of 48, expected a vector of 131072"},
      {"mamba2", {{"groups", 3u}}, "metadata: 4 heads are not a multiple of 3 groups"},
      {"mamba2", {{"heads", 4096u}, {"head_dim", 33u}}, "metadata: 4096 heads of 33 are wider than 131072"},
      {"retention ffn", {{"heads", 5u}}, "metadata: 5 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 96"},
      {"retention ffn", {{"heads", 16u}}, "metadata: 16 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 96"},
      {"retention ffn", {{"value_dim", 95u}}, "metadata: 4 heads do not divide \"dim\" 48 into pairs and \"value_dim\" 95"},
      {"retention ffn", {{"heads", 24u}}, "tensor rope.inv_freq: 6 rotated pairs, expected 1"},
  };
  for (const auto& one : cases) {
    ModelRecipe recipe;
    recipe.blocks = one.blocks;
    CHECK_EQ(says(made(recipe)), "");
    recipe.more = one.more;
    CHECK_EQ(says(made(recipe)), one.words);
  }
  CHECK(contains(says(made(ModelRecipe{.blocks = "mamba2", .more = {{"heads", 4096u}, {"head_dim", 32u}}})),
                 "tensor layers.0.gate_norm: rank 1 of 48, expected a vector of 131072"));
  CHECK_EQ(with_head_dim(SMALL7, 5), "metadata: \"dim\" is 48, no multiple of \"head_dim\" 5");
  CHECK_EQ(with_head_dim(SMALL7, 96), "metadata: \"dim\" is 48, no multiple of \"head_dim\" 96");
  CHECK_EQ(with_head_dim(SMALL7, 48), "");
}

TEST(matrices_that_share_an_input) {
  const ModelRecipe transformer, retention = {.blocks = "retention ffn"};
  for (const auto& [tensor, pair] :
       {std::pair("k", "q, k"), std::pair("v", "q, v"), std::pair("gate", "gate, up"), std::pair("up", "gate, up")})
    CHECK_EQ(wanting_another_input(transformer, "layers.1." + std::string(tensor)),
             "tensors layers.1." + std::string(pair) + ": they share their input but ask for different quantisation of it");
  for (const auto& [tensor, pair] : {std::pair("k", "q, k"), std::pair("v", "q, v"), std::pair("g", "q, g")})
    CHECK_EQ(wanting_another_input(retention, "layers.0." + std::string(tensor)),
             "tensors layers.0." + std::string(pair) + ": they share their input but ask for different quantisation of it");
  for (const char* alone : {"o", "down"})
    CHECK_EQ(wanting_another_input(transformer, "layers.1." + std::string(alone)), "");
}

// Rows are computed in groups of several sizes; texts of every small length are cut at every one.
TEST(any_number_of_ids_at_a_time) {
  const std::string paths[] = {
      made(ModelRecipe{}),
      made(ModelRecipe{.dim = 100, .ffn_dim = 70, .matrices = Format::T5, .scale = Scale::row}),
      made(ModelRecipe{.dim = 130,
                       .ffn_dim = 70,
                       .matrices = Format::I4,
                       .scale = Scale::none,
                       .activations = Quantization::group32,
                       .sub_norms = false,
                       .relu2 = false}),
      made(RecurrentRecipe{.shape = rwkv7(ODD7), .weights = Format::I8}),
      made(ModelRecipe{
          .blocks = "mamba ffn | retention | mamba2 ffn", .layers = 3, .matrices = Format::I8, .scale = Scale::row}),
  };
  for (const std::string& path : paths) {
    EngineOptions options;
    options.threads = 1;
    options.tokens = 34;
    OpenEngine whole(options, path);
    const std::vector<i32> ids = timeline(34, whole.engine.model.vocab);
    const u64 expected = whole.run_anew(ids, 1);
    for (i32 step : {2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 31, 32, 33, 34})
      CHECK_EQ(whole.run_anew(ids, step), expected);
    for (i32 tokens : {1, 2, 3, 7, 8, 9}) {
      options.tokens = tokens;
      OpenEngine open(options, path);
      CHECK_EQ(open.run_anew(ids, 34), expected);
    }
  }
}
