// Tiny sources of every kind, converted and read back by a second reader: every value, scale, format and setting.
#include <sstream>

#include "check.h"
#include "convert/convert.h"
#include "convert/encode.h"
#include "convert/error.h"
#include "convert_sources.h"
#include "data_path.h"
#include "file/legacy.h"
#include "model_reader.h"

using namespace sources;
using edgellm::Code;
using edgellm::Format;
using edgellm::convert::Error;
using edgellm::convert::Options;
using model_reader::ModelFile;

namespace {

enum { F32, F16, I8, I4, T2, T2_GROUP };
enum { NONE, TENSOR, ROW };            // scales
enum { UNQUANTIZED, TOKEN, GROUP32 };  // activations

ModelFile converted(const Folder& folder, const std::string& source, Options options = {}) {
  options.source = source;
  options.destination = folder / "out.tm2";
  std::ostringstream report;
  edgellm::convert::convert(options, report, false);
  CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
  return model_reader::read_model(options.destination);
}

Options with_weights(Format format) {
  Options options;
  options.formats.weights = format;
  return options;
}

// The code and text of the failure; nothing may be left behind.
std::string failure(const Folder& folder, const std::string& source, Code code = Code::bad_model, Options options = {}) {
  options.source = source;
  options.destination = folder / "out.tm2";
  std::ostringstream report;
  try {
    edgellm::convert::convert(options, report, false);
  } catch (const Error& error) {
    CHECK_EQ(static_cast<int>(error.code), static_cast<int>(code));
    CHECK(!std::filesystem::exists(folder / "out.tm2"));
    CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
    return error.what();
  }
  CHECK_EQ(source, "refused");  // it converted
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Root mean square of the difference over that of the original.
double relative_error(const Values& stored, const Values& original) {
  double error = 0, signal = 0;
  if (stored.size() != original.size()) return INFINITY;
  for (size_t i = 0; i < stored.size(); i++) {
    error += std::pow(static_cast<double>(stored[i]) - static_cast<double>(original[i]), 2);
    signal += std::pow(static_cast<double>(original[i]), 2);
  }
  return std::sqrt(error / signal);
}

void check_exact(const ModelFile& file, const Model& model, const std::string& skipped = "") {
  for (const auto& [name, tensor] : model.tensors) {
    if (name == skipped) continue;
    CHECK(file.tensors.contains(name));
    if (!file.tensors.contains(name)) continue;
    const model_reader::Tensor& stored = file.tensors.at(name);
    CHECK(stored.shape == shape_of(tensor));
    CHECK(stored.values == tensor.values);
  }
  CHECK_EQ(file.tensors.size(), model.tensors.size() + 1);  // rope.inv_freq
}

void check_form(const ModelFile& file, const std::string& name, int format, int scale, int activations) {
  const model_reader::Tensor& t = file.tensors.at(name);
  CHECK_EQ(t.format, format);
  CHECK_EQ(t.scale, scale);
  CHECK_EQ(t.activations, activations);
}

void check_shape(const ModelFile& file, const Shape& s) {
  const std::pair<const char*, int> sizes[] = {{"layers", s.layers}, {"dim", s.dim},           {"ffn_dim", s.ffn},
                                               {"heads", s.heads},   {"kv_heads", s.kv_heads}, {"head_dim", s.head_dim},
                                               {"vocab", s.vocab},   {"context", s.context}};
  for (const auto& [key, value] : sizes)
    CHECK_EQ(file.numbers.at(key), static_cast<uint32_t>(value));
  CHECK_EQ(file.texts.at("arch"), "transformer");
}

TEST(llama2c_is_exact_in_f32) {
  for (bool head : {false, true}) {
    Folder folder;
    Model model(Fill::random, false, head);
    write_file(folder / "stories.bin", llama2c_legacy(model));
    ModelFile file = converted(folder, folder / "stories.bin", with_weights(Format::F32));
    check_exact(file, model);
    check_shape(file, model.shape);
    check_form(file, "layers.1.q", F32, NONE, UNQUANTIZED);
    check_form(file, "embed", F32, NONE, UNQUANTIZED);
    CHECK_EQ(file.texts.at("rope"), "interleaved");
    CHECK_EQ(file.texts.at("gate"), "silu");
    CHECK_EQ(file.texts.at("name"), "stories");
    CHECK_EQ(file.numbers.at("bos"), 1u);
    CHECK_EQ(file.reals.at("norm_eps"), 1e-5f);
    CHECK(file.tokenizer.empty());
  }
}

TEST(llama2c_versions) {
  for (int version : {1, 2}) {
    for (bool head : {false, true}) {
      Folder folder;
      Shape shape;
      shape.ffn = 40;  // groups of 8
      shape.vocab = 40;
      Model model(Fill::random, false, head, shape);
      write_file(folder / "model.bin", llama2c_versioned(&model, version));
      check_exact(converted(folder, folder / "model.bin", with_weights(Format::F32)), model);
    }
  }
  Folder folder;
  Model model;
  std::string bytes = llama2c_versioned(&model, 1);
  bytes[4] = 3;
  write_file(folder / "model.bin", bytes);
  CHECK(contains(failure(folder, folder / "model.bin"), "version 3, expected 1 or 2"));
}

TEST(defaults_of_models_not_trained_ternary) {
  Folder folder;
  Model model;
  write_file(folder / "model.bin", llama2c_legacy(model));
  ModelFile file = converted(folder, folder / "model.bin");
  check_form(file, "layers.0.gate", I4, NONE, GROUP32);
  check_form(file, "embed", I8, ROW, GROUP32);
  check_form(file, "layers.0.attn_norm", F32, NONE, UNQUANTIZED);
  CHECK(!file.tensors.contains("head"));
  CHECK(file.tensors.at("norm").values == model.of("norm"));
  for (const auto& [name, tensor] : model.tensors) {
    double error = relative_error(file.tensors.at(name).values, tensor.values);
    CHECK(error < (is_layer_matrix(name, tensor) ? 0.09 : 0.006));
  }
}

TEST(formats_that_are_asked_for) {
  Folder folder;
  Model model;
  write_file(folder / "model.bin", llama2c_legacy(model));
  const struct {
    Format format;
    int stored, scale, activations;
    double error;
  } cases[] = {{Format::F16, F16, NONE, UNQUANTIZED, 0.0003},
               {Format::I8, I8, ROW, GROUP32, 0.006},
               {Format::I4, I4, NONE, GROUP32, 0.09},
               {Format::T2, T2_GROUP, NONE, GROUP32, 0.55}};
  for (const auto& c : cases) {
    ModelFile file = converted(folder, folder / "model.bin", with_weights(c.format));
    check_form(file, "layers.1.down", c.stored, c.scale, c.activations);
    double error = relative_error(file.tensors.at("layers.1.down").values, model.of("layers.1.down"));
    CHECK(error > 0 && error < c.error);
    check_form(file, "embed", c.format == Format::F16 ? F16 : I8, c.format == Format::F16 ? NONE : ROW,
               c.format == Format::F16 ? UNQUANTIZED : GROUP32);
  }
}

TEST(embedding_and_head_have_formats_of_their_own) {
  Folder folder;
  Model model;
  write_file(folder / "model.bin", llama2c_legacy(model));
  Options options;
  options.formats.head = Format::I4;
  ModelFile file = converted(folder, folder / "model.bin", options);
  check_form(file, "embed", I8, ROW, GROUP32);
  check_form(file, "head", I4, NONE, GROUP32);
  CHECK(relative_error(file.tensors.at("head").values, model.of("embed")) < 0.09);
  options.formats.embed = Format::I4;  // the same again: one tensor
  file = converted(folder, folder / "model.bin", options);
  check_form(file, "embed", I4, NONE, GROUP32);
  CHECK(!file.tensors.contains("head"));
  options.formats.head = Format::F32;
  options.formats.embed = Format::F16;
  file = converted(folder, folder / "model.bin", options);
  check_form(file, "embed", F16, NONE, UNQUANTIZED);
  CHECK(file.tensors.at("head").values == model.of("embed"));
}

TEST(i4_scales_beat_absmax) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  double chosen = 0, absmax = 0;
  for (int trial = 0; trial < 500; trial++) {
    float values[32];
    for (float& value : values)
      value = normal(random);
    int8_t codes[32];
    float scale = model_reader::half_to_float(edgellm::convert::best_i4(values, 32, codes));
    float plain = magnitude({values, values + 32}) / 7;
    for (int i = 0; i < 32; i++) {
      CHECK(codes[i] >= -8 && codes[i] <= 7);
      chosen += std::pow(static_cast<double>(static_cast<float>(codes[i]) * scale - values[i]), 2);
      absmax += std::pow(static_cast<double>(std::round(values[i] / plain) * plain - values[i]), 2);
    }
  }
  CHECK(chosen < 0.85 * absmax);
  float zeros[32] = {};
  int8_t codes[32];
  CHECK_EQ(edgellm::convert::best_i4(zeros, 32, codes), 0);
  for (int8_t code : codes)
    CHECK_EQ(int{code}, 0);
}

TEST(hugging_face_floats) {
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    Folder folder;
    Model model(Fill::random, false, true);
    for (auto& [name, tensor] : model.tensors) {  // values that every dtype holds
      for (float& value : tensor.values)
        value = std::round(value * 64) / 64;
    }
    write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, dtype));
    ModelFile file = converted(folder, folder.path, with_weights(Format::F32));
    check_exact(file, model);
    check_shape(file, model.shape);
    CHECK_EQ(file.texts.at("rope"), "half");
    CHECK((file.lists.at("stop") == std::vector<uint32_t>{2, 3}));
  }
}

TEST(hugging_face_shards_biases_and_head_norms) {
  Folder folder;
  Model model;
  for (int i = 0; i < model.shape.layers; i++) {
    for (const char* name : {"q_norm", "k_norm"})
      model.vector(Model::layer(i, name), 8);
    model.vector(Model::layer(i, "q_bias"), 24);
    model.vector(Model::layer(i, "k_bias"), 8);
    model.vector(Model::layer(i, "v_bias"), 8);
  }
  write_sharded(folder.path, config_json(model, "Qwen3ForCausalLM", ",\"tie_word_embeddings\":true,\"head_dim\":8"),
                hf_tensors(model, "F32"));
  check_exact(converted(folder, folder.path, with_weights(Format::F32)), model);
  std::filesystem::remove(folder / "shard1.safetensors");
  std::filesystem::remove(folder / "out.tm2");
  failure(folder, folder.path, Code::failed);
}

TEST(ternary_floats_are_recognised_exactly) {
  const struct {
    Fill fill;
    int format, scale;
  } cases[] = {{Fill::ternary_tensor, T2, TENSOR}, {Fill::ternary_row, T2, ROW}, {Fill::ternary_group, T2_GROUP, NONE}};
  for (const auto& c : cases) {
    Folder folder;
    Shape shape{1, 264, 300, 3, 1, 88, 37, 16};  // last groups of 8 and 44 columns
    Model model(c.fill, false, false, shape);
    write_hf(folder.path, config_json(model, "Qwen3ForCausalLM"), hf_tensors(model, "BF16"));
    Options options;
    options.formats.embed = Format::F32;
    ModelFile file = converted(folder, folder.path, options);
    for (const char* name : {"q", "k", "v", "o", "gate", "up", "down"}) {
      check_form(file, Model::layer(0, name), c.format, c.scale, GROUP32);
      CHECK(file.tensors.at(Model::layer(0, name)).values == model.of(Model::layer(0, name)));
    }
  }
}

TEST(one_value_aside_is_not_ternary) {
  Folder folder;
  Model model(Fill::ternary_tensor);
  float& last = model.tensors.at("layers.1.down").values.back();
  last = std::nextafter(magnitude(model.of("layers.1.down")), 2.0f);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  check_form(file, "layers.1.down", I4, NONE, GROUP32);
  check_form(file, "layers.0.down", T2, TENSOR, GROUP32);
}

TEST(bitnet_packed_both_ways) {
  for (bool divides : {true, false}) {
    Folder folder;
    Model model(Fill::ternary_tensor, true);
    for (float& value : model.tensors.at("embed").values)
      value = std::round(value * 64) / 64;
    for (auto& [name, tensor] : model.tensors) {
      if (tensor.rows > 0) continue;
      for (float& value : tensor.values)
        value = std::round(value * 64) / 64;
    }
    std::string quantization = std::string(",\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"") +
                               (divides ? "bitlinear" : "autobitlinear") + "\"}";
    write_hf(folder.path, config_json(model, "BitNetForCausalLM", ",\"hidden_act\":\"relu2\"" + quantization),
             packed_tensors(model, divides));
    Options options;
    options.formats.embed = Format::F32;
    ModelFile file = converted(folder, folder.path, options);
    CHECK_EQ(file.texts.at("gate"), "relu2");
    for (const auto& [name, tensor] : model.tensors) {
      if (is_layer_matrix(name, tensor)) {
        check_form(file, name, T2, TENSOR, TOKEN);
        CHECK(relative_error(file.tensors.at(name).values, tensor.values) < 1e-7);  // 1 / (1 / scale)
      } else {
        CHECK(file.tensors.at(name).values == tensor.values);
      }
    }
  }
}

TEST(packed_code_three_is_refused) {
  Folder folder;
  Model model(Fill::ternary_tensor);
  HfTensors tensors = packed_tensors(model, false);
  tensors.at("model.layers.1.mlp.down_proj.weight").data[5] = '\xff';
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), tensors);
  CHECK(contains(failure(folder, folder.path), "packed code 3"));
}

TEST(bitnet_floats_beside_their_scale) {
  // Values that have the scale in them, codes that want it, and values of another size.
  for (int kind = 0; kind < 3; kind++) {
    Folder folder;
    Model model(Fill::ternary_tensor, true);
    HfTensors tensors = hf_tensors(model, "F32");
    for (const auto& [name, tensor] : model.tensors) {
      if (!is_layer_matrix(name, tensor)) continue;
      float scale = magnitude(tensor.values);
      Values values = tensor.values;
      for (float& value : values)
        value *= kind == 0 ? 1 : kind == 1 ? 1 / scale : 3;
      if (kind == 1) {
        for (float& value : values)
          value = std::round(value);
      }
      tensors[hf_name(name)].data = bytes_as("F32", values);
      tensors[hf_name(name) + "_scale"] = {"F32", {1}, bytes_as("F32", {scale})};
    }
    write_hf(folder.path, config_json(model, "BitNetForCausalLM"), tensors);
    if (kind == 2) {
      CHECK(contains(failure(folder, folder.path), "its weight_scale is"));
      continue;
    }
    ModelFile file = converted(folder, folder.path);
    for (const auto& [name, tensor] : model.tensors) {
      if (!is_layer_matrix(name, tensor)) continue;
      check_form(file, name, T2, TENSOR, TOKEN);
      CHECK(file.tensors.at(name).values == tensor.values);
    }
  }
}

TEST(bitnet_master_weights) {
  Folder folder;
  Model model(Fill::random, true);
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  for (const auto& [name, tensor] : model.tensors) {
    if (!is_layer_matrix(name, tensor)) continue;
    check_form(file, name, T2, TENSOR, TOKEN);
    double sum = 0;
    for (float value : tensor.values)
      sum += std::fabs(static_cast<double>(value));
    float scale = static_cast<float>(sum / static_cast<double>(tensor.values.size()));
    CHECK_EQ(file.tensors.at(name).scales.at(0), scale);
    bool same = true;
    for (size_t i = 0; i < tensor.values.size(); i++) {
      float code = std::fmin(1.0f, std::fmax(-1.0f, std::nearbyint(tensor.values[i] / scale)));
      same &= file.tensors.at(name).values[i] == code * scale;
    }
    CHECK(same);
  }
}

TEST(unit_norms_are_folded_into_the_scales) {
  Folder folder;
  Model model(Fill::ternary_tensor);
  for (int i = 0; i < model.shape.layers; i++) {
    for (const char* name : {"attn_norm", "ffn_norm"})
      model.tensors.erase(Model::layer(i, name));
  }
  std::string unit =
      ",\"norms\":\"unit: no weights\",\"rope_interleaved\":true,\"hidden_act\":\"silu\",\"final_norm_eps\":1e-4";
  write_hf(folder.path, config_json(model, "BitNetForCausalLM", unit), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  CHECK_EQ(file.numbers.at("unit_norms"), 1u);
  CHECK_EQ(file.texts.at("rope"), "interleaved");
  CHECK_EQ(file.texts.at("gate"), "silu");
  CHECK_EQ(file.reals.at("final_norm_eps"), 1e-4f);
  for (const char* name : {"layers.0.q", "layers.1.down"}) {
    const Matrix& m = model.tensors.at(name);
    CHECK_EQ(file.tensors.at(name).scales.at(0), magnitude(m.values) * (1 / static_cast<float>(m.cols)));
  }
}

TEST(tm2_version_1) {
  Folder folder;
  Model model(Fill::ternary_row, true, true);
  for (const char* name : {"embed", "head"})
    model.matrix(name, 37, 24, Fill::ternary_row);
  write_file(folder / "old.tm2.bin", tm2_version1(model));
  ModelFile file = converted(folder, folder / "old.tm2.bin");
  check_exact(file, model);
  check_shape(file, model.shape);
  check_form(file, "layers.0.q", T2, ROW, TOKEN);
  check_form(file, "embed", T2, ROW, TOKEN);
  check_form(file, "head", T2, ROW, TOKEN);
  CHECK_EQ(file.texts.at("rope"), "interleaved");
  CHECK_EQ(file.texts.at("gate"), "relu2");
  CHECK(std::fabs(file.tensors.at("rope.inv_freq").values[1] - std::pow(500000.0f, -0.25f)) < 1e-8f);
  Options options;
  options.rope = "half";
  CHECK_EQ(converted(folder, folder / "old.tm2.bin", options).texts.at("rope"), "half");
}

// The runtime rewrites such files in memory: it must see the same model.
TEST(tm2_version_1_is_what_the_runtime_reads) {
  Folder folder;
  Shape shape{2, 96, 130, 4, 2, 24, 53, 16};
  Model model(Fill::ternary_row, true, true, shape);
  for (const char* name : {"embed", "head"})
    model.matrix(name, 53, 96, Fill::ternary_row);
  std::string bytes = tm2_version1(model);
  write_file(folder / "old.tm2.bin", bytes);
  ModelFile file = converted(folder, folder / "old.tm2.bin");

  edgellm::Span<const uint8_t> source{reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int64_t>(bytes.size())};
  int64_t size = 0;
  CHECK(edgellm::upgrade_legacy(source, false, nullptr, &size).ok());
  std::vector<uint8_t> image(static_cast<size_t>(size));
  CHECK(edgellm::upgrade_legacy(source, false, image.data(), &size).ok());
  write_file(folder / "image.tm2", {image.begin(), image.end()});
  ModelFile upgraded = model_reader::read_model(folder / "image.tm2");

  CHECK(upgraded.numbers == file.numbers);
  CHECK(upgraded.reals == file.reals);
  for (const char* key : {"arch", "gate", "rope"})
    CHECK_EQ(upgraded.texts.at(key), file.texts.at(key));
  CHECK_EQ(upgraded.tensors.size(), file.tensors.size());
  for (const auto& [name, tensor] : file.tensors) {
    const model_reader::Tensor& other = upgraded.tensors.at(name);
    check_form(upgraded, name, tensor.format, tensor.scale, tensor.activations);
    CHECK(other.shape == tensor.shape);
    CHECK(other.values == tensor.values);
    CHECK(other.scales == tensor.scales);
  }
}

TEST(tmac_version_2) {
  Folder folder;
  Model model(Fill::ternary_row, true, true);
  for (auto& [name, tensor] : model.tensors) {
    if (is_layer_matrix(name, tensor)) continue;
    for (float& value : tensor.values)
      value = std::round(value * 64) / 64;
  }
  write_file(folder / "old.tmac.bin", tmac_version2(model));
  Options options;
  options.formats.embed = options.formats.head = Format::F32;
  ModelFile file = converted(folder, folder / "old.tmac.bin", options);
  check_exact(file, model, "head");
  CHECK(relative_error(file.tensors.at("head").values, model.of("head")) < 0.006);
  check_form(file, "layers.0.q", T2, ROW, TOKEN);
  CHECK_EQ(file.numbers.at("kv_heads"), 1u);
  CHECK_EQ(file.numbers.at("ffn_dim"), 42u);
}

// Frequencies from transformers 5 (modeling_rope_utils.py), head size 24.
TEST(rotary_scaling) {
  const struct {
    const char* parameters;
    float scale;
    std::vector<float> expected;
  } cases[] = {
      {"\"rope_type\":\"llama3\",\"rope_theta\":500000.0,\"factor\":32.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
       "\"original_max_position_embeddings\":8192",
       1,
       {0x1.p+0f, 0x1.571288p-2f, 0x1.cbc2aap-4f, 0x1.34119p-5f, 0x1.9cd9d2p-7f, 0x1.14a2e4p-8f, 0x1.c26c4p-12f,
        0x1.f0d27p-17f, 0x1.4ce6ecp-18f, 0x1.be2188p-20f, 0x1.2aefa4p-21f, 0x1.909caap-23f}},
      {"\"rope_type\":\"yarn\",\"rope_theta\":1000000.0,\"factor\":4.0,\"original_max_position_embeddings\":32768",
       1.138629436111989f,
       {0x1.p+0f, 0x1.43d136p-2f, 0x1.999998p-4f, 0x1.030dc6p-5f, 0x1.47ae12p-7f, 0x1.50c51ep-9f, 0x1.47ae16p-11f,
        0x1.2223ecp-13f, 0x1.a36e26p-16f, 0x1.094564p-17f, 0x1.4f8b6p-19f, 0x1.a86f02p-21f}},
      {"\"rope_type\":\"linear\",\"rope_theta\":10000.0,\"factor\":2.5",
       1,
       {0x1.99999ap-2f, 0x1.7c3d2cp-3f, 0x1.60fb88p-4f, 0x1.47ae14p-5f, 0x1.3030eep-6f, 0x1.1a62d6p-7f, 0x1.0624dcp-8f,
        0x1.e6b4bap-10f, 0x1.c3d15p-11f, 0x1.a36e3p-12f, 0x1.855d6p-13f, 0x1.69743ep-14f}}};
  for (const auto& c : cases) {
    Folder folder;
    Shape shape;
    shape.heads = 2, shape.head_dim = 24, shape.context = 131072;
    Model model(Fill::random, false, false, shape);
    std::string config = config_json(model, "LlamaForCausalLM", std::string(",\"rope_scaling\":{") + c.parameters + "}");
    config.replace(config.find(",\"rope_theta\":10000.0"), 21, "");
    write_hf(folder.path, config, hf_tensors(model, "F32"));
    ModelFile file = converted(folder, folder.path);
    const Values& actual = file.tensors.at("rope.inv_freq").values;
    CHECK_EQ(actual.size(), c.expected.size());
    for (size_t i = 0; i < actual.size(); i++)
      CHECK(std::fabs(actual[i] / c.expected[i] - 1) < 1e-6f);
    float scale = file.reals.contains("rope_attention_scale") ? file.reals.at("rope_attention_scale") : 1;
    CHECK(std::fabs(scale - c.scale) < 1e-6f);
  }
}

TEST(partial_rotary) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", ",\"partial_rotary_factor\":0.5"), hf_tensors(model, "F32"));
  CHECK_EQ(converted(folder, folder.path).tensors.at("rope.inv_freq").values.size(), size_t{2});
}

TEST(synthetic_is_the_same_every_time) {
  Folder folder;
  ModelFile file = converted(folder, "synthetic:tiny");
  check_form(file, "layers.0.q", T2, TENSOR, TOKEN);
  check_form(file, "embed", I8, ROW, GROUP32);
  CHECK(file.tensors.contains("layers.1.attn_sub_norm"));
  CHECK(!file.tokenizer.empty());
  std::string first = read_file(folder / "out.tm2");
  converted(folder, "synthetic:tiny");
  CHECK(read_file(folder / "out.tm2") == first);
  for (float norm : file.tensors.at("norm").values)
    CHECK(norm > 0.4f && norm < 1.6f);
  CHECK(contains(failure(Folder(), "synthetic:huge", Code::usage), "tiny, bitnet-2b4t, smollm-135m"));
}

TEST(configurations_that_cannot_be_run) {
  const struct {
    const char *from, *to, *message;
  } cases[] = {
      {"LlamaForCausalLM", "GPT2LMHeadModel", "architecture \"GPT2LMHeadModel\" is not supported"},
      {"\"head_dim\":8", "\"head_dim\":8,\"hidden_act\":\"gelu\"", "hidden_act \"gelu\""},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"rope_type\":\"longrope\",\"factor\":2}", "longrope"},
      {"\"head_dim\":8", "\"head_dim\":8,\"quantization_config\":{\"quant_method\":\"gptq\"}", "gptq"},
      {"\"head_dim\":8", "\"head_dim\":7", "7 rotated dimensions"},
      {"\"vocab_size\":37", "\"vocab_size\":38", "37 x 24, config.json wants 38 x 24"},
      {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1", "beyond its layers"},
      {"\"num_hidden_layers\":2", "\"num_hidden_layers\":3", "no tensor for layers.2.q"},
      {"\"num_hidden_layers\":2", "\"num_hidden_layers\":2.5", "not a whole number"},
      {"\"num_key_value_heads\":1", "\"num_key_value_heads\":2", "not a multiple"},
      {"\"hidden_size\":24", "\"hidden_size\":-1", "hidden size is -1"},
      {"\"hidden_size\":24,", "", "\"hidden_size\" is missing"},
      {"\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":\"x\"", "not a number"},
  };
  for (const auto& c : cases) {
    Folder folder;
    Model model;
    std::string config = config_json(model, "LlamaForCausalLM");
    config.replace(config.find(c.from), std::strlen(c.from), c.to);
    write_hf(folder.path, config, hf_tensors(model, "F32"));
    std::string message = failure(folder, folder.path);
    CHECK(contains(message, c.message));
    if (!contains(message, c.message)) CHECK_EQ(message, c.message);
  }
}

TEST(values_that_are_not_finite_are_refused) {
  for (const char* name : {"layers.1.down", "norm", "embed"}) {
    Folder folder;
    Model model;
    model.tensors.at(name).values[5] = NAN;
    write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
    CHECK(contains(failure(folder, folder.path), "is not finite"));
    CHECK(contains(failure(folder, folder.path, Code::bad_model, with_weights(Format::T2)), "is not finite"));
  }
}

TEST(no_source_and_no_place) {
  Folder folder;
  failure(folder, folder / "nothing", Code::failed);
  CHECK(contains(failure(folder, folder.path), "not a source of a known kind"));
  write_file(folder / "noise", "once upon a time there was a file that meant nothing at all to anyone");
  CHECK(contains(failure(folder, folder / "noise"), "not a source of a known kind"));
  write_file(folder / "empty", "");
  failure(folder, folder / "empty");
  Options options;
  options.source = "synthetic:tiny";
  options.destination = folder / "none/out.tm2";
  std::ostringstream report;
  bool refused = false;
  try {
    edgellm::convert::convert(options, report, false);
  } catch (const Error& error) {
    refused = error.code == Code::failed;
  }
  CHECK(refused);
}

TEST(a_source_is_not_overwritten) {
  Folder folder;
  Model model;
  std::string bytes = llama2c_legacy(model);
  write_file(folder / "model.bin", bytes);
  Options options;
  options.source = options.destination = folder / "model.bin";
  std::ostringstream report;
  bool refused = false;
  try {
    edgellm::convert::convert(options, report, false);
  } catch (const Error& error) {
    refused = error.code == Code::usage;
  }
  CHECK(refused);
  CHECK(read_file(folder / "model.bin") == bytes);
}

TEST(real_ternary_checkpoint) {
  std::string source = data_path("checkpoints/bitllama-3M").string();
  if (!std::filesystem::exists(source)) SKIP("no checkpoints/bitllama-3M");
  Folder folder;
  ModelFile file = converted(folder, source);
  CHECK_EQ(file.tensors.size(), size_t{8 * 7 + 3});
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with("layers.")) continue;
    check_form(file, name, T2, TENSOR, TOKEN);
  }
  CHECK_EQ(file.tensors.at("layers.0.q").scales.at(0), 2.11788654f / 256);
  CHECK(!file.tokenizer.empty());
}

TEST(real_float_checkpoint) {
  std::string source = data_path("checkpoints/stories260K/stories260K.bin").string();
  if (!std::filesystem::exists(source)) SKIP("no checkpoints/stories260K");
  Folder folder;
  Options options = with_weights(Format::F32);
  options.tokenizer = data_path("checkpoints/stories260K/tok512.bin").string();
  ModelFile file = converted(folder, source, options);
  std::string bytes = read_file(source);
  const Values& embed = file.tensors.at("embed").values;
  CHECK_EQ(embed.size(), size_t{512 * 64});
  CHECK(std::memcmp(embed.data(), bytes.data() + 28, embed.size() * 4) == 0);
  CHECK(!file.tokenizer.empty());
  CHECK_EQ(file.numbers.at("bos"), 1u);
}

}  // namespace
