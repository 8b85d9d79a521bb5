// Sources whose formats say little: llama2.c, TM2 version 1 and TMAC, with what is assumed of them, each number changed and each
// refusal in its words; fields of RetNet, RWKV and Mamba; tensors that are taken for ternary.
#include <algorithm>
#include <cmath>

#include "convert/source/packed.h"
#include "convert/source/random.h"
#include "convert/source/ternary.h"
#include "convert_checks.h"

using namespace convert_checks;
namespace convert = edgellm::convert;
using convert::ComputedTensor;
using convert::Role;
using convert::Ternary;

namespace {

// The metadata, or the words behind the path.
std::string outcome(const std::string& bytes, std::string* report = nullptr) {
  Folder folder;
  write_file(folder / "m.bin", bytes);
  Options options;
  options.source = folder / "m.bin";
  options.destination = folder / "out.tm2";
  options.name = "m";
  std::ostringstream out;
  try {
    convert::convert(options, out, false);
  } catch (const Error& error) {
    const std::string said = error.what();
    return "refused: " + (said.starts_with(options.source + ": ") ? said.substr(options.source.size() + 2) : said);
  }
  if (report) *report = out.str();
  return metadata_of(model_reader::read_model(options.destination));
}

std::string with(std::string bytes, size_t at, uint32_t value) {
  return bytes.replace(at, 4, Bytes().put(value).data);
}

TEST(numbers_of_llama2c) {
  const std::string legacy = llama2c_legacy(Model());
  CHECK_EQ(
      outcome(legacy),
      "arch=transformer gate=silu name=m rope=interleaved bos=1 context=16 dim=24 ffn_dim=42 head_dim=8 heads=3 kv_heads=1 "
      "layers=2 vocab=37 norm_eps=9.99999975e-06 stop=1,2, ");
  CHECK_EQ(outcome(legacy + "x"), "refused: 1 bytes follow the last tensor");
  CHECK_EQ(outcome(legacy.substr(0, legacy.size() - 4)),
           "refused: 41048 bytes, its header wants 41052: it was cut: download it again");
  CHECK_EQ(outcome(with(legacy, 0, 27)), "refused: 9 rotated dimensions, expected an even number up to the head size 9");
  const std::string unknown =
      "refused: not a source of a known kind (RWKV, Mamba, RetNet, Hugging Face folder, GGUF, TM2 version 1, "
      "TMAC version 2, llama2.c checkpoint)";
  const std::pair<size_t, uint32_t> implausible[] = {{0, 0},
                                                     {0, 23},
                                                     {4, 0},
                                                     {8, 0},
                                                     {8, 1025},
                                                     {12, 0},
                                                     {12, 48},
                                                     {16, 0},
                                                     {16, 2},
                                                     {20, 0},
                                                     {24, 0},
                                                     {24, 1 << 25},
                                                     {0, ~0u},
                                                     {16, ~0u},
                                                     {20, (1 << 24) + 1},
                                                     {20, 0u - (1 << 24) - 1}};
  for (const auto& [at, value] : implausible)
    CHECK_EQ(outcome(with(legacy, at, value)), unknown);
  CHECK_EQ(outcome(legacy.substr(0, 27)), unknown);
  Model own(Fill::random, false, true), model;
  const std::string version1 = llama2c_versioned(&model, 1), untied = llama2c_versioned(&own, 1);
  CHECK_EQ(outcome(with(version1, 4, 3)), "refused: llama2.c version 3, expected 1 or 2");
  CHECK_EQ(outcome(with(version1, 4, 0)), "refused: llama2.c version 0, expected 1 or 2");
  CHECK_EQ(outcome(with(version1, 8, 25)), "refused: hidden size 25 is no multiple of 3 heads");
  CHECK_EQ(outcome(with(version1, 20, 0)), "refused: heads is 0, expected 1 to 4096");
  CHECK_EQ(outcome(version1.substr(0, 255)),
           "refused: header needs 219 bytes at offset 37, only 218 are left: it was cut: download it again");
  std::string shared = untied;
  shared[36] = 2;
  CHECK_EQ(outcome(shared), "refused: 3552 bytes follow the last tensor");
  Shape even;
  even.ffn = 40, even.vocab = 40;
  Model grouped(Fill::random, false, false, even);
  const std::string version2 = llama2c_versioned(&grouped, 2);
  CHECK(outcome(version2).starts_with("arch=transformer"));
  CHECK_EQ(outcome(with(version2, 37, 0)), "refused: group size is 0, expected at least 1");
  CHECK_EQ(outcome(with(version2, 37, ~0u)), "refused: group size is -1, expected at least 1");
  CHECK_EQ(outcome(with(version2, 37, 7)), "refused: embed is no multiple of the group size 7");
}

TEST(numbers_of_tm2_version_1) {
  Model model(Fill::ternary_row, true, true);
  for (const char* name : {"embed", "head"})
    model.matrix(name, 37, 24, Fill::ternary_row);
  const std::string bytes = tm2_version1(model);
  CHECK_EQ(
      outcome(bytes),
      "arch=transformer gate=relu2 name=m rope=interleaved bos=1 context=16 dim=24 ffn_dim=42 head_dim=8 heads=3 kv_heads=1 "
      "layers=2 vocab=37 norm_eps=9.99999975e-06 ");
  CHECK_EQ(outcome(with(bytes, 4, 25)), "refused: hidden size 25 is no multiple of 3 heads");
  CHECK_EQ(outcome(with(bytes, 8, 43)), "refused: layers.0.gate is 42 x 24, the header wants 43 x 24");
  CHECK_EQ(outcome(with(bytes, 24, 38)), "refused: embed is 37 x 24, the header wants 38 x 24");
  std::string changed = bytes;
  changed[32] = 0;
  CHECK_EQ(outcome(changed), "refused: embed at offset 32: its kind is 0, expected 1 (matrix)");
  const size_t norm = 32 + 9 + 37 * (2 + 6);
  changed = bytes;
  changed[norm] = 1;
  CHECK_EQ(outcome(changed),
           convert::text("refused: layers.0.attn_norm at offset ", norm, ": its kind is 1, expected 0 (vector)"));
  changed = bytes;
  changed[41 + 8 + 1] = '\x7c';  // row 1: an infinity
  changed[41 + 8] = 0;
  CHECK_EQ(outcome(changed), "refused: embed: the scale of row 1 is not finite");
  CHECK_EQ(outcome(bytes.substr(0, bytes.size() - 1)).substr(0, 20), "refused: head needs ");
}

TEST(numbers_of_tmac) {
  Model model(Fill::ternary_row, true, true);
  const std::string bytes = tmac_version2(model);
  std::string report;
  CHECK_EQ(outcome(bytes, &report),
           "arch=transformer gate=relu2 name=m rope=half bos=1 context=4096 dim=24 ffn_dim=42 head_dim=8 heads=3 kv_heads=1 "
           "layers=2 vocab=37 norm_eps=9.99999975e-06 stop=2, ");
  CHECK(contains(report,
                 "note: the format does not say, so these are assumed: context 4096, rotary theta 10000, half-split pairs, "
                 "epsilon 1e-5, BOS 1, gate relu2\n"));
  CHECK_EQ(outcome(with(bytes, 4, 1)), "refused: TMAC version 1, expected 2");
  CHECK_EQ(outcome(with(bytes, 20, 38)),
           "refused: model.embed_tokens.weight (fp16) has 1776 bytes of data, 38 x 24 need 1824");
  CHECK_EQ(outcome(with(bytes, 16, 0)), "refused: heads is 0, expected 1 to 4096");
  const size_t name = 32;
  CHECK_EQ(outcome(with(bytes, name, 257)), "refused: tensor name of 257 bytes, at most 256");
  const size_t dtype = name + 4 + std::string("model.embed_tokens.weight").size();
  CHECK_EQ(outcome(with(bytes, dtype, 300)), "refused: dtype of 300 bytes, at most 256");
  CHECK_EQ(outcome(with(bytes, dtype + 8, 9)), "refused: model.embed_tokens.weight has 9 dimensions, at most 8");
  auto replaced = [&](const std::string& what, const std::string& by) {
    std::string out = bytes;
    return out.replace(out.find(what), what.size(), by);
  };
  CHECK_EQ(outcome(replaced("int8", "int4")), "refused: lm_head.weight has the unknown dtype \"int4\"");
  CHECK_EQ(outcome(replaced("k_proj", "x_proj")), "refused: there is no tensor model.layers.0.self_attn.k_proj.weight");
  CHECK_EQ(outcome(replaced("model.layers.1.mlp.up_proj", "model.layers.1.mlp.xp_proj")),
           "refused: there is no tensor model.layers.1.mlp.up_proj.weight, which a transformer has");
  CHECK_EQ(outcome(bytes + bytes.substr(32)), "refused: tensor model.embed_tokens.weight is there twice");
  // Code 3, and a scale that is no number, of the first ternary matrix: layers.0.down, 24 x 42.
  const size_t down = bytes.find("model.layers.0.mlp.down_proj.weight") + 35 + 4 + 6 + 4 + 8 + 8;
  std::string changed = bytes;
  changed[down + 5] = '\x0c';
  CHECK_EQ(outcome(changed), "refused: layers.0.down: weight 21 has the code 3, which is no weight");
  CHECK_EQ(outcome(with(bytes, down + 252 + 8 + 4 * 3, 0x7f800000)),
           "refused: layers.0.down: the scale of row 3 is not finite");
  // The vocabulary of Llama 3 brings its other numbers.
  Shape large;
  large.vocab = 128256, large.dim = 2, large.heads = 1, large.head_dim = 2, large.ffn = 2, large.layers = 1,
  large.kv_heads = 1;
  const std::string text = outcome(tmac_version2(Model(Fill::ternary_row, false, true, large)), &report);
  CHECK_EQ(
      text,
      "arch=transformer gate=silu name=m rope=half bos=128000 context=4096 dim=2 ffn_dim=2 head_dim=2 heads=1 kv_heads=1 "
      "layers=1 vocab=128256 norm_eps=9.99999975e-06 stop=128001,128009, ");
  CHECK(contains(report, "rotary theta 500000, half-split pairs, epsilon 1e-5, BOS 128000, gate silu\n"));
}

// A golden folder with members added to its configuration: the last of one name counts.
std::string changed_folder(const std::string& name, const std::string& more, ModelFile* file = nullptr) {
  Folder folder;
  const std::string golden = "tests/golden/recurrent/" + name, config = read_file(golden + "/config.json");
  std::filesystem::copy(golden, folder / "model");
  std::filesystem::remove(folder / "model/rwkv4.pth");
  write_file(folder / "model/config.json", config.substr(0, config.rfind('}')) + (more.empty() ? "" : "," + more) + "}");
  Options options = with_weights(Format::F32);
  options.source = folder / "model";
  options.destination = folder / "out.tm2";
  options.name = "m";
  std::ostringstream report;
  try {
    convert::convert(options, report, false);
  } catch (const Error& error) {
    const std::string said = error.what();
    return said.substr(said.find(": ") + 2);
  }
  const ModelFile read = model_reader::read_model(options.destination);
  if (file) *file = read;
  return metadata_of(read);
}

TEST(fields_of_retnet) {
  ModelFile base, other;
  const std::string usual = changed_folder("retnet", "", &base);
  auto first = [](const ModelFile& file, const char* name) { return file.tensors.at(name).values; };
  CHECK(first(base, "decay") == (Values{1 - 1 / 32.0f, 1 - 1 / 64.0f, 1 - 1 / 128.0f}));
  const Values frequencies = first(base, "rope.inv_freq");
  CHECK_EQ(frequencies.size(), size_t{4});
  for (size_t i = 0; i < 4; i++)
    CHECK(std::fabs(frequencies[i] / std::pow(1e4f, -static_cast<float>(i) / 3) - 1) < 1e-6f);
  CHECK_EQ(changed_folder("retnet", "\"use_lm_decay\":true", &other), usual);
  const Values decay = first(other, "decay");
  const float lost[] = {1 / 32.0f, 1 / 128.0f, 1 / 512.0f};
  for (size_t i = 0; i < 3; i++)
    CHECK(std::fabs(decay[i] - (1 - lost[i])) < 1e-7f);
  CHECK_EQ(changed_folder("retnet", "\"no_scale_embedding\":true", &other), usual);
  for (size_t i = 0; i < 24; i++)
    CHECK_EQ(first(base, "embed")[i], first(other, "embed")[i] * std::sqrt(24.0f));
  CHECK(first(base, "norm") == first(other, "norm"));
  CHECK(changed_folder("retnet", "\"layernorm_eps\":0.25").find("norm_eps=0.25 ") != std::string::npos);
  CHECK_EQ(changed_folder("retnet", "\"decoder_retention_heads\":5"),
           "5 heads do not divide 24 keys into pairs and 42 values");
  CHECK_EQ(changed_folder("retnet", "\"decoder_retention_heads\":4"),
           "4 heads do not divide 24 keys into pairs and 42 values");
  CHECK_EQ(changed_folder("retnet", "\"decoder_retention_heads\":24"),
           "24 heads do not divide 24 keys into pairs and 42 values");
  CHECK_EQ(changed_folder("retnet", "\"decoder_embed_dim\":0"), "decoder_embed_dim is 0, expected 1 to 131072");
  CHECK_EQ(changed_folder("retnet", "\"vocab_size\":null"), "\"vocab_size\" is missing");
  // A tied head: the last norm undoes the scale.
  ModelFile tied;
  changed_folder("retnet_tied", "", &tied);
  CHECK(!tied.tensors.contains("head"));
}

TEST(fields_of_rwkv_and_mamba) {
  const std::string rwkv = changed_folder("rwkv4", "");
  CHECK_EQ(changed_folder("rwkv4", "\"context_length\":7"),
           std::string(rwkv).replace(rwkv.find("context=96"), 10, "context=7"));
  const std::pair<const char*, const char*> rwkv_rows[] = {
      {"\"vocab_size\":62", "\"vocab_size\" is 62, the tensors have 61"},
      {"\"hidden_size\":35", "\"hidden_size\" is 35, the tensors have 36"},
      {"\"num_hidden_layers\":4", "\"num_hidden_layers\" is 4, the tensors have 3"},
      {"\"intermediate_size\":76", "\"intermediate_size\" is 76, the tensors have 75"},
      {"\"attention_hidden_size\":null", ""},
      {"\"tie_word_embeddings\":true", ""}};
  for (const auto& [field, expected] : rwkv_rows)
    CHECK_EQ(field + (": " + changed_folder("rwkv4", field)), field + (": " + (*expected ? std::string(expected) : rwkv)));
  const std::string mamba = changed_folder("mamba", "");
  CHECK(changed_folder("mamba", "\"layer_norm_epsilon\":0.5").find("norm_eps=0.5 ") != std::string::npos);
  const std::pair<const char*, const char*> mamba_rows[] = {
      {"\"hidden_size\":36", "\"hidden_size\" is 36, the tensors have 37"},
      {"\"conv_kernel\":3", "\"conv_kernel\" is 3, the tensors have 4"},
      {"\"intermediate_size\":75", "\"intermediate_size\" is 75, the tensors have 74"},
      {"\"time_step_rank\":\"auto\"", ""}};
  for (const auto& [field, expected] : mamba_rows)
    CHECK_EQ(field + (": " + changed_folder("mamba", field)), field + (": " + (*expected ? std::string(expected) : mamba)));
  const std::string mamba2 = changed_folder("mamba2", "");
  CHECK_EQ(changed_folder("mamba2", "\"time_step_limit\":[0.25,{\"__float__\":\"Infinity\"}]"),
           std::string(mamba2).replace(mamba2.find("norm_eps"), 0, "dt_min=0.25 "));
  CHECK_EQ(changed_folder("mamba2", "\"time_step_limit\":[0,0.5]"),
           std::string(mamba2).replace(mamba2.find("norm_eps"), 0, "dt_max=0.5 "));
  CHECK_EQ(changed_folder("mamba2", "\"time_step_limit\":[0,Infinity]"), mamba2);
  CHECK_EQ(changed_folder("mamba2", "\"time_step_limit\":[-1,1]"),
           "\"time_step_limit\" is -1 to 1, expected 0 or more, and no less");
  CHECK_EQ(changed_folder("mamba2", "\"time_step_limit\":[0,{\"__float__\":\"NaN\"}]"),
           "\"time_step_limit\" is not two numbers");
  CHECK_EQ(changed_folder("mamba2", "\"n_groups\":4"),
           "6 heads, 4 groups, 72 inner and 108 convolved channels do not fit each other");
}

// --- Ternary ---

TEST(what_is_ternary) {
  auto of = [](int64_t rows, int64_t cols, const Values& values) -> std::string {
    const auto ternary = convert::recognise(ComputedTensor("t", Role::matrix, rows, cols, values));
    if (!ternary) return "none";
    const char* const names[] = {"tensor", "row", "group"};
    return convert::text(names[static_cast<int>(ternary->per)], " ", ternary->scale);
  };
  CHECK_EQ(of(2, 3, {2, 0, -2, 0, 2, 2}), "tensor 2");
  CHECK_EQ(of(2, 3, {0, 0, 0, 0, 0, 0}), "tensor 0");
  CHECK_EQ(of(3, 2, {0, 0, 3, -3, 0, 0}), "tensor 3");
  CHECK_EQ(of(2, 2, {2, 0, 1, 1}), "row 0");
  CHECK_EQ(of(2, 2, {1, 0, 2, 2}), "row 0");
  CHECK_EQ(of(1, 2, {1, 2}), "none");
  CHECK_EQ(of(1, 2, {2, 1}), "none");
  CHECK_EQ(of(1, 2, {NAN, 0}), "none");
  CHECK_EQ(of(1, 2, {INFINITY, 0}), "none");
  Values wide(2 * 200, 1.0f);
  CHECK_EQ(of(2, 200, wide), "tensor 1");
  for (size_t i = 200 + 128; i < 400; i++)
    wide[i] = -4;
  CHECK_EQ(of(2, 200, wide), "group 0");
  wide[399] = 5;
  CHECK_EQ(of(2, 200, wide), "none");
  // What is given out: codes, and scales for each row or group.
  wide[399] = -4;
  const auto shown =
      convert::recognised(std::make_unique<ComputedTensor>("t", Role::matrix, 2, 200, wide), {Ternary::Per::group});
  std::vector<int8_t> codes(200);
  Values scales(2);
  shown->codes(1, 1, codes.data(), scales.data());
  CHECK(scales == (Values{1, 4}) && codes[127] == 1 && codes[128] == -1);
}

// Of all scales and codes the ones with the least squared error, by trying each threshold.
TEST(the_nearest_ternary_weights) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  Values values;
  for (int i = 0; i < 3 * 150; i++)
    values.push_back(normal(random));
  const auto nearest = convert::nearest_ternary(std::make_unique<ComputedTensor>("t", Role::matrix, 3, 150, values));
  CHECK(nearest->ternary()->per == Ternary::Per::group);
  std::vector<int8_t> codes(450);
  Values scales(6);
  nearest->codes(0, 3, codes.data(), scales.data());
  for (size_t row = 0; row < 3; row++) {
    for (size_t group = 0; group < 2; group++) {
      const size_t begin = row * 150 + group * 128, end = group ? row * 150 + 150 : begin + 128;
      double own = 0, least = INFINITY;
      for (size_t i = begin; i < end; i++)
        own += std::pow(static_cast<double>(values[i] - static_cast<float>(codes[i]) * scales[row * 2 + group]), 2);
      for (size_t k = begin; k < end; k++) {
        const float threshold = std::fabs(values[k]);
        double sum = 0, count = 0, error = 0;
        for (size_t i = begin; i < end; i++) {
          if (std::fabs(values[i]) >= threshold) sum += static_cast<double>(std::fabs(values[i])), count++;
        }
        for (size_t i = begin; i < end; i++) {
          const double magnitude = static_cast<double>(std::fabs(values[i]));
          error += std::pow(magnitude - (std::fabs(values[i]) >= threshold ? sum / count : 0), 2);
        }
        least = std::min(least, error);
      }
      CHECK(own < least * (1 + 1e-6));
    }
  }
  const auto zero = convert::nearest_ternary(std::make_unique<ComputedTensor>("t", Role::matrix, 1, 4, Values(4, 0.0f)));
  zero->codes(0, 1, codes.data(), scales.data());
  CHECK(scales[0] == 0 && codes[0] == 0 && codes[3] == 0);
}

TEST(master_weights) {
  const Values values = {0.5f, -1, 2, 0.1f, -0.4f, 0, 1, -3};  // their mean magnitude is 1
  const auto master = convert::from_master(std::make_unique<ComputedTensor>("t", Role::matrix, 2, 4, values));
  CHECK_EQ(master->ternary()->scale, 1.0f);
  std::vector<int8_t> codes(8);
  master->codes(0, 2, codes.data(), nullptr);
  CHECK(codes == (std::vector<int8_t>{0, -1, 1, 0, 0, 0, 1, -1}));  // a half goes to the even one
  Values out(4);
  master->values(1, 1, out.data());
  CHECK(out == (Values{0, 0, 1, -1}));
  const auto small = convert::from_master(std::make_unique<ComputedTensor>("t", Role::matrix, 1, 2, Values(2, 1e-9f)));
  CHECK_EQ(small->ternary()->scale, 1e-5f);
  try {
    convert::from_master(std::make_unique<ComputedTensor>("t", Role::matrix, 1, 2, Values{1, INFINITY}));
    CHECK(false);
  } catch (const Error& error) {
    CHECK_EQ(std::string(error.what()), "tensor t has values that are not finite");
  }
}

// Any rows are those of the whole; the shares and the spread are what they should be.
TEST(random_weights) {
  const auto floats = convert::random_floats("t", Role::matrix, 64, 33, 0.5f, 2);
  const auto ternary = convert::random_ternary("t", Role::matrix, 64, 33, 2);
  for (const convert::Tensor* tensor : {floats.get(), ternary.get()}) {
    Values all(64 * 33), row(33);
    tensor->values(0, 64, all.data());
    for (int64_t r : {0, 1, 63}) {
      tensor->values(r, 1, row.data());
      CHECK(std::equal(row.begin(), row.end(), all.begin() + r * 33));
    }
    double sum = 0, squares = 0;
    for (float value : all)
      sum += static_cast<double>(value), squares += static_cast<double>(value) * static_cast<double>(value);
    const double mean = sum / 2112, deviation = std::sqrt(squares / 2112 - mean * mean);
    CHECK(std::fabs(mean - (tensor == floats.get() ? 0.5 : 0)) < 0.15);
    CHECK(std::fabs(deviation - (tensor == floats.get() ? 2 : std::sqrt(2))) < 0.1);
  }
}

}  // namespace
