// GGUF sources (tools/golden/gguf_golden.py): every type of weights against its own decoder, whole models against the logits of
// transformers, and what becomes of the weights.
#include <algorithm>
#include <cstdio>

#include "convert/source/gguf.h"
#include "convert_checks.h"
#include "gguf_source.h"
#include "golden_logits.h"

using namespace convert_checks;
namespace convert = edgellm::convert;

namespace {

const std::string GOLDEN = "tests/golden/gguf/";

// A tensor of the file as the converter sees it.
std::unique_ptr<convert::Tensor> opened(const convert::Gguf& gguf, const std::string& name,
                                        convert::I2sLayout layout = convert::I2sLayout::x86, float factor = 1) {
  const convert::GgufTensor& t = gguf.tensors.at(name);
  int64_t rows = static_cast<int64_t>(t.shape[0]), cols = static_cast<int64_t>(t.shape[1]);
  if (t.format->id == convert::GGML_I2_S) {
    return std::make_unique<convert::I2sTensor>(name, convert::Role::matrix, rows, cols, gguf.file, t.data,
                                                std::make_shared<convert::I2sLayout>(layout), 1.0f);
  }
  if (t.format->decode) {
    return std::make_unique<convert::BlockTensor>(name, convert::Role::matrix, rows, cols, gguf.file, t.data, *t.format,
                                                  factor);
  }
  return std::make_unique<convert::FloatTensor>(name, convert::Role::matrix, rows, cols, gguf.file, t.data, t.format->dtype);
}

Values values_of(const convert::Tensor& tensor) {
  Values all(static_cast<size_t>(tensor.rows * tensor.cols)), row(static_cast<size_t>(tensor.cols));
  tensor.values(0, tensor.rows, all.data());
  for (int64_t r = 0; r < tensor.rows; r++) {
    tensor.values(r, 1, row.data());
    CHECK(std::equal(row.begin(), row.end(), all.begin() + r * tensor.cols));
  }
  return all;
}

void check_values(const convert::Tensor& tensor, const float** expected) {
  Values actual = values_of(tensor);
  size_t same = 0;
  for (size_t i = 0; i < actual.size(); i++)
    same += actual[i] == (*expected)[i];
  if (same != actual.size()) std::printf("%s\n", tensor.name.c_str());
  CHECK_EQ(same, actual.size());
  *expected += actual.size();
}

TEST(every_type_has_the_values_of_the_package) {
  convert::Gguf gguf = convert::read_gguf(GOLDEN + "types.gguf");
  Values expected = read_array<float>(GOLDEN + "types.f32");
  const float* next = expected.data();
  for (const auto& [name, tensor] : gguf.tensors) {
    CHECK_EQ(name, tensor.format->name);
    check_values(*opened(gguf, name), &next);
  }
  CHECK_EQ(next - expected.data(), static_cast<long>(expected.size()));
  CHECK_EQ(gguf.tensors.size(), size_t{15});
}

TEST(types_that_the_package_does_not_know) {
  convert::Gguf gguf = convert::read_gguf(GOLDEN + "more_types.gguf");
  Values expected = read_array<float>(GOLDEN + "more_types.f32");
  const float* next = expected.data();
  check_values(*opened(gguf, "I2_S", convert::I2sLayout::x86), &next);
  check_values(*opened(gguf, "I2_S", convert::I2sLayout::arm), &next);
  for (const char* name : {"PQ2_0", "PTQ1_0", "Q2_0_128", "Q2_0_64"})
    check_values(*opened(gguf, name), &next);
  CHECK_EQ(next - expected.data(), static_cast<long>(expected.size()));
  CHECK_EQ(gguf.tensors.at("Q2_0_64").format->weights, 64);
  CHECK_EQ(gguf.tensors.at("Q2_0_128").format->weights, 128);
}

// What i4 gives is exactly what the values are.
TEST(four_bit_types_are_i4) {
  for (const char* file : {"types.gguf", "more_types.gguf"}) {
    convert::Gguf gguf = convert::read_gguf(GOLDEN + file);
    for (const auto& [name, stored] : gguf.tensors) {
      std::unique_ptr<convert::Tensor> tensor = opened(gguf, name);
      bool expected = name == "Q4_0" || name.find("Q2_0") < 2;
      CHECK_EQ(tensor->native() == Format::I4, expected && name != "TQ2_0");
      if (tensor->native() != Format::I4) continue;
      Values values = values_of(*tensor);
      // With a factor beside it, which i4 has no place for, it is not.
      for (float factor : {0.75f, 2.0f}) {
        const std::unique_ptr<convert::Tensor> scaled = opened(gguf, name, convert::I2sLayout::x86, factor);
        CHECK(scaled->native() != Format::I4);
        const Values products = values_of(*scaled);
        for (size_t i = 0; i < values.size(); i++)
          CHECK(products[i] == factor * values[i]);
      }
      std::vector<int8_t> codes(values.size());
      std::vector<uint16_t> scales(values.size() / 32);
      tensor->i4(0, tensor->rows, codes.data(), scales.data());
      for (size_t i = 0; i < values.size(); i++)
        CHECK(values[i] == model_reader::half_to_float(scales[i / 32]) * static_cast<float>(codes[i]));
    }
  }
}

// --- Models ----------------------------------------------------------------------------------------------------------------

TEST(models_have_the_logits_of_transformers) {
  for (const char* name : {"llama", "llama_untied", "qwen2", "qwen3", "bitnet", "phi2", "phi2_fused"}) {
    Folder folder;
    Options options;
    options.formats = {Format::F32, Format::F32, Format::F32};
    converted(folder, GOLDEN + name + ".gguf", options);
    Values expected = read_array<float>(GOLDEN + name + ".f32");
    edgellm::EngineOptions engine;
    engine.f32_activations = true;
    engine.kv = edgellm::KvFormat::F16;
    check_logits(name, logits_of(folder / "out.tm2", 32, engine), expected);
  }
}

// --- What becomes of the weights -----------------------------------------------------------------------------------------------

constexpr Shape WIDE{1, 256, 256, 4, 2, 64, 40, 32};

// Replaces the data of every layer matrix.
template <class Pack>
void repack(sources::Gguf* gguf, const Model& model, uint32_t type, Pack pack) {
  for (const auto& [name, tensor] : model.tensors) {
    if (!is_layer_matrix(name, tensor)) continue;
    for (sources::Gguf::Stored& stored : gguf->tensors) {
      if (stored.name != gguf_name(name)) continue;
      stored.type = type;
      stored.data = pack(tensor.values);
    }
  }
}

// f16 scale and two bits a weight, for every `group`.
std::string q2_0(const Values& values, size_t group) {
  Bytes out;
  for (size_t g = 0; g < values.size(); g += group) {
    Values part(values.begin() + static_cast<long>(g), values.begin() + static_cast<long>(g + group));
    float scale = magnitude(part);
    std::string packed(group / 4, '\0');
    for (size_t i = 0; i < group; i++) {
      int code = (part[i] > 0) - (part[i] < 0) + 1;
      packed[i / 4] = static_cast<char>(packed[i / 4] | code << (2 * (i % 4)));
    }
    out.put(f32_to_f16(scale)).text(packed);
  }
  return out.data;
}

ModelFile converted_gguf(const sources::Gguf& gguf, Options options = {}) {
  Folder folder;
  write_file(folder / "model.gguf", gguf.bytes());
  return converted(folder, folder / "model.gguf", options);
}

TEST(floats_are_exact) {
  for (bool head : {false, true}) {
    Model model(Fill::random, false, head);
    ModelFile file = converted_gguf(gguf_of(model, "llama"), with_weights(Format::F32));
    check_exact(file, model);
    check_shape(file, model.shape);
    CHECK_EQ(file.texts.at("rope"), "half");
    CHECK_EQ(file.texts.at("gate"), "silu");
    CHECK_EQ(file.texts.at("name"), "model");
  }
}

TEST(families_have_their_own_ways) {
  const struct {
    const char *name, *gate;
    bool bitnet;
  } cases[] = {{"llama", "silu", false}, {"qwen2", "silu", false},     {"qwen3", "silu", false},
               {"bitnet", "silu", true}, {"bitnet-25", "relu2", true}, {"bitnet-b1.58", "relu2", true}};
  for (const auto& c : cases) {
    Model model(Fill::random, c.bitnet);
    ModelFile file = converted_gguf(gguf_of(model, c.name));
    CHECK_EQ(file.texts.at("rope"), "half");
    CHECK_EQ(file.texts.at("gate"), c.gate);
    check_form(file, "layers.1.q", c.bitnet ? T2 : I4, c.bitnet ? TENSOR : NONE, c.bitnet ? TOKEN : GROUP32);
  }
}

TEST(ternary_types_keep_their_scales) {
  Model model(Fill::ternary_tensor, true, false, WIDE);
  sources::Gguf gguf = gguf_of(model, "bitnet-b1.58");
  for (convert::I2sLayout layout : {convert::I2sLayout::x86, convert::I2sLayout::arm}) {
    repack(&gguf, model, 36,
           [&](const Values& values) { return i2_s(values, layout == convert::I2sLayout::x86 ? 32 : 16); });
    Options options;
    options.i2s_layout = layout;
    options.formats.embed = options.formats.head = Format::F32;
    ModelFile file = converted_gguf(gguf, options);
    check_exact(file, model);
    check_form(file, "layers.0.q", T2, TENSOR, TOKEN);
  }
  Model grouped(Fill::ternary_group, false, false, WIDE);
  for (size_t group : {size_t{64}, size_t{128}}) {
    gguf = gguf_of(grouped, "qwen3");
    repack(&gguf, grouped, 42, [&](const Values& values) { return q2_0(values, group); });
    Options options;
    options.formats.embed = options.formats.head = Format::F32;
    ModelFile file = converted_gguf(gguf, options);
    check_exact(file, grouped);
    check_form(file, "layers.0.down", T2_GROUP, NONE, GROUP32);
  }
}

// Groups of 64 with scales of their own fit no ternary format of ours: i4 holds them.
TEST(groups_of_64_are_exact_in_i4) {
  Model model(Fill::ternary_group, false, false, WIDE);
  for (auto& [name, tensor] : model.tensors) {
    if (!is_layer_matrix(name, tensor)) continue;
    for (size_t i = 0; i < tensor.values.size(); i++)
      tensor.values[i] *= i / 64 % 2 ? 0.5f : 1;
  }
  sources::Gguf gguf = gguf_of(model, "qwen3");
  repack(&gguf, model, 42, [](const Values& values) { return q2_0(values, 64); });
  Options options;
  options.formats.embed = options.formats.head = Format::F32;
  ModelFile file = converted_gguf(gguf, options);
  check_exact(file, model);
  check_form(file, "layers.0.down", I4, NONE, GROUP32);
}

TEST(quantised_types_keep_their_bits) {
  convert::Gguf types = convert::read_gguf(GOLDEN + "types.gguf");
  const struct {
    const char* type;
    int format;
    double error;
  } cases[] = {{"Q4_0", I4, 0},    {"Q8_0", I8, 0.02}, {"Q6_K", I8, 0.02},
               {"Q5_K", I8, 0.02}, {"Q4_K", I4, 0.1},  {"F16", I4, 0.1}};
  Model model(Fill::random, false, false, WIDE);
  for (const auto& c : cases) {
    sources::Gguf gguf = gguf_of(model, "qwen2");
    const convert::GgufTensor& stored = types.tensors.at(c.type);
    std::string row(reinterpret_cast<const char*>(stored.data.data) + stored.data.size / 3, stored.data.size / 3);
    repack(&gguf, model, stored.format->id, [&](const Values& values) {
      std::string all;
      for (size_t i = 0; i < values.size(); i += 256)
        all += row;
      return all;
    });
    ModelFile file = converted_gguf(gguf);
    std::unique_ptr<convert::Tensor> tensor = opened(types, c.type);
    Values expected(256);
    tensor->values(1, 1, expected.data());
    const model_reader::Tensor& down = file.tensors.at("layers.0.down");
    CHECK_EQ(down.format, c.format);
    double error = relative_error(Values(down.values.begin(), down.values.begin() + 256), expected);
    std::printf("%s: error %g\n", c.type, error);
    CHECK(c.error > 0 ? error < c.error : down.values.size() == 256 * 256 && error == 0);
  }
}

// A scale beside a matrix multiplies it.
TEST(scales_beside_matrices) {
  Model model(Fill::ternary_tensor, true);
  sources::Gguf gguf = gguf_of(model, "bitnet");
  gguf.tensors.push_back({"blk.1.ffn_up.scale", {1}, 0, Bytes().floats({0.75f}).data});
  ModelFile file = converted_gguf(gguf);
  const Values& up = model.of("layers.1.up");
  check_form(file, "layers.1.up", T2, TENSOR, TOKEN);
  CHECK_EQ(file.tensors.at("layers.1.up").scales.at(0), 0.75f * magnitude(up));
  CHECK_EQ(file.tensors.at("layers.0.up").scales.at(0), magnitude(model.of("layers.0.up")));
}

// --- What cannot be read -------------------------------------------------------------------------------------------------------

void check_refused(const sources::Gguf& gguf, const std::string& message, Options options = {},
                   Code code = Code::bad_model) {
  Folder folder;
  write_file(folder / "model.gguf", gguf.bytes());
  std::string actual = failure(folder, folder / "model.gguf", code, options);
  CHECK(contains(actual, message));
  if (!contains(actual, message)) CHECK_EQ(actual, message);
}

TEST(what_a_file_must_not_say) {
  const Model model;
  const sources::Gguf good = gguf_of(model, "llama");
  auto with = [&](auto change) {
    sources::Gguf gguf = good;
    change(&gguf);
    return gguf;
  };
  using G = sources::Gguf*;
  check_refused(with([](G g) { g->version = 1; }), "GGUF version 1, expected 2 or 3");
  check_refused(with([](G g) { g->version = 0x03000000; }), "big-endian (version 3)");
  check_refused(with([](G g) { g->entries += 1000; }), "only ");
  check_refused(with([](G g) { g->number("llama.block_count", 2); }), "llama.block_count is there twice");
  check_refused(with([](G g) { g->tensors.push_back(g->tensors[0]); }), " is there twice");
  check_refused(with([](G g) { g->tensors[0].shape[0] = uint64_t{1} << 60; }), "overflows");
  check_refused(with([](G g) { g->tensors[0].shape[0] = 0; }), "empty");
  check_refused(with([](G g) { g->tensors[0].shape = {}; }), "rank 0");
  check_refused(with([](G g) { std::swap(g->tensors[0].shape[0], g->tensors[0].shape[1]); }),
                "is 24 x 37, expected 24 x 24");
  check_refused(with([](G g) { g->tensors[0].data.resize(64); }), "needs ");
  check_refused(with([](G g) { g->tensors[0].type = 19; }), "type 19, which is not supported (F32, F16, Q4_0");
  check_refused(with([](G g) { g->tensors[0].type = 12; }), "expected a multiple of 256");
  check_refused(with([](G g) { g->tensors.back().data += std::string(64, 'x'); }), "64 bytes follow the last tensor");
  check_refused(with([](G g) { g->tensors.push_back({"blk.9.attn_q.weight", {1}, 0, std::string(4, 'x')}); }),
                "tensor blk.9.attn_q.weight is beyond layer 1, the last");
  check_refused(with([](G g) { g->tensors.push_back({"blk.1.attn_q.extra", {1}, 0, std::string(4, 'x')}); }),
                "tensor blk.1.attn_q.extra has no place in a transformer");
  check_refused(with([](G g) { g->tensors.pop_back(); }), "no tensor");
  check_refused(with([](G g) { g->number("general.alignment", 48); }), "general.alignment is 48");
  check_refused(with([](G g) { g->number("split.count", 3); }), "one of 3 parts");
  check_refused(with([](G g) { g->text("general.type", "adapter"); }), "\"adapter\", expected \"model\"");
  check_refused(with([](G g) { g->number("llama.expert_count", 8); }),
                "llama: \"expert_count\" is 8, which is not supported (0)");
  check_refused(with([](G g) { g->real("llama.attention.scale", 0.25f); }), "\"attention.scale\" is 0.25");
  check_refused(with([](G g) { g->real("llama.logit_scale", 2); }), "\"logit_scale\" is 2");
  check_refused(with([](G g) { g->real("llama.attn_logit_softcapping", 50); }), "\"attn_logit_softcapping\" is 50");
  check_refused(with([](G g) { g->flag("llama.attention.causal", false); }), "\"attention.causal\" is false");
  check_refused(with([](G g) { g->flag("llama.use_parallel_residual", true); }), "\"use_parallel_residual\" is true");
  check_refused(with([](G g) { g->numbers<uint32_t>("llama.rope.dimension_sections", 4, {2, 1, 1}); }),
                "\"rope.dimension_sections\" is a list");
  check_refused(with([](G g) { g->text("llama.rope.scaling.type", "longrope"); }), "\"longrope\"");
  check_refused(with([](G g) { g->text("llama.rope.freq_base", "x"); }),
                "llama.rope.freq_base is of type string, expected a number");
  check_refused(with([](G g) { g->number("llama.rope.dimension_count", 4); }),
                "rope.dimension_count is 4, expected the head size 8");
  check_refused(with([](G g) { g->number("llama.attention.value_length", 9); }), "value_length is 9");
  check_refused(with([](G g) { g->entry("deep", 9, Bytes().put(9).put(uint64_t{1} << 40).data); }),
                "is a list of 1099511627776");
  check_refused(with([](G g) { g->entry("odd", 13, ""); }), "odd has the type 13");
  check_refused(gguf_of(model, "mamba"), "\"mamba\", which is not read from GGUF: give the Hugging Face folder");
  check_refused(with([](G g) { g->tensors.push_back({"blk.0.attn_qkv.weight", {8, 7}, 0, std::string(224, 'x')}); }),
                "tensor blk.0.attn_qkv.weight has 7 rows, expected ");
  check_refused(with([](G g) { g->tensors.push_back({"blk.0.attn_qkv.weight", {24, 40}, 0, std::string(3840, 'x')}); }),
                "tensor blk.0.attn_q.weight is there beside blk.0.attn_qkv.weight");
  check_refused(gguf_of(model, "gpt2"), "general.architecture is \"gpt2\", which is not supported (llama, ");
  Options options;
  options.i2s_layout = convert::I2sLayout::arm;
  check_refused(good, "has no I2_S tensors", options, Code::usage);
}

// Of all layers, as the models of these architectures have it.
TEST(sliding_windows) {
  for (uint32_t window : {0u, 9u, 4096u}) {
    Folder folder;
    sources::Gguf gguf = gguf_of(Model(), "llama");
    gguf.number("llama.attention.sliding_window", window);
    write_file(folder / "model.gguf", gguf.bytes());
    ModelFile file = converted(folder, folder / "model.gguf");
    CHECK_EQ(file.numbers.contains("window"), window > 0);
    if (window > 0) CHECK_EQ(file.numbers.at("window"), window);
    CHECK_EQ(file.numbers.at("context"), 16u);
  }
}

TEST(other_values_are_passed_over) {
  Model model;
  sources::Gguf gguf = gguf_of(model, "llama");
  gguf.flag("a.flag", true).numbers<int8_t>("a.list", 1, {1, -1}).texts("some.texts", {"", "a"});
  gguf.entry("a.u64", 10, Bytes().put(uint64_t{7}).data).entry("a.f64", 12, Bytes().put(7.0).data);
  gguf.entry("lists", 9,
             Bytes().put(uint32_t{9}).put(uint64_t{2}).put(0).put(uint64_t{3}).text("abc").put(8).put(uint64_t{0}).data);
  gguf.version = 2;
  check_exact(converted_gguf(gguf, with_weights(Format::F32)), model);
  gguf.alignment = 256;
  gguf.number("general.alignment", 256);
  check_exact(converted_gguf(gguf, with_weights(Format::F32)), model);
}

}  // namespace
