// Tiny sources of every kind but Hugging Face's, converted and read back by a second reader: every value, scale, format and
// setting.
#include "convert/output/encode.h"

#include <algorithm>

#include "convert/family/open.h"
#include "convert/output/verify.h"
#include "convert/tokenizer/tokenizer.h"
#include "convert_checks.h"
#include "data_path.h"
#include "file/legacy.h"

using namespace convert_checks;

namespace {

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

TEST(verify_finds_what_is_wrong) {
  using namespace edgellm::convert;
  Folder folder;
  const std::string path = folder / "out.tm2";
  std::vector<Written> written;
  {
    std::vector<Target> targets = plan(open_source(Source("synthetic:tiny")), {});
    std::vector<TensorSpec> specs;
    for (const Target& target : targets)
      specs.push_back(target.spec);
    FileWriter out(path);
    out.begin({}, specs, {});
    for (Target& target : targets) {
      Loss loss = encode(*target.tensor, target.spec, out, [](uint64_t) {});
      written.push_back({std::move(target), loss});
    }
    out.finish();
    out.publish();
  }
  auto complaint = [&]() -> std::string {
    try {
      verify(path, written);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  CHECK_EQ(complaint(), "");
  auto embed = std::find_if(written.begin(), written.end(), [](const Written& w) { return w.target.spec.name == "embed"; });
  embed->loss.error *= 1 + 1e-12;
  CHECK(contains(complaint(), "tensor embed has a squared error"));
  embed->loss.error = 0;
  embed->target.tensor = std::make_unique<ComputedTensor>("norm", Role::vector, 1, 64, Values(64, 1.0f));
  CHECK(contains(complaint(), "tensor norm differs"));
  std::string bytes = read_file(path);
  bytes[bytes.size() - 100] ^= 1;
  write_file(path, bytes);
  CHECK(contains(complaint(), "checksum"));
}

// The guard before every publication: whatever the runtime refuses, it does too, and in its words.
TEST(no_file_is_made_that_the_runtime_refuses) {
  using namespace edgellm::convert;
  Folder folder;
  auto refusal = [&](const char* key, const MetadataValue& value, std::vector<uint8_t> tokenizer = {}) -> std::string {
    edgellm::convert::Model model = open_source(Source("synthetic:tiny"));
    Metadata metadata = std::move(model.metadata);
    std::erase_if(metadata, [&](const auto& entry) { return entry.first == key; });
    metadata.emplace_back(key, value);
    std::vector<Target> targets = plan(std::move(model), {});
    std::vector<TensorSpec> specs;
    for (const Target& target : targets)
      specs.push_back(target.spec);
    FileWriter out(folder / "out.tm2");
    out.begin(metadata, specs, tokenizer);
    for (Target& target : targets)
      encode(*target.tensor, target.spec, out, [](uint64_t) {});
    out.finish();
    try {
      require_usable(out.partial_path(), "SRC");
    } catch (const Error& error) {
      CHECK_EQ(static_cast<int>(error.code), static_cast<int>(Code::bad_model));
      CHECK(std::string(error.what()).starts_with("SRC: the program would refuse the file: "));
      return error.what();
    }
    return {};
  };
  CHECK_EQ(refusal("name", std::string("fine")), "");
  CHECK(contains(refusal("norm_eps", 2.0f), "\"norm_eps\" is 2"));
  CHECK(contains(refusal("layers", uint32_t{1025}), "\"layers\" is 1025, expected 1 to 1024"));
  CHECK(contains(refusal("arch", std::string("x")), "unknown model family"));
  CHECK(contains(refusal("bos", uint32_t{300}), "\"bos\" is 300, the vocabulary has 300 ids"));
  CHECK(contains(refusal("grammar", std::vector<uint32_t>{9}), "grammar: 9 states"));
  CHECK(contains(refusal("temperature", 101.0f), "\"temperature\" is 101"));
  CHECK(contains(refusal("chat", std::string("x")), "lacks"));
  CHECK(contains(refusal("requires", std::string("more")), "it requires \"more\""));
  CHECK(contains(refusal("name", std::string("x"), std::vector<uint8_t>(64)), "tokenizer"));
  CHECK(std::filesystem::is_empty(folder.path));
}

// The ids and the text that they give, of every kind of tokenizer.
TEST(verify_runs_the_tokenizer) {
  using namespace edgellm::convert;
  Folder folder;
  auto said = [&](const std::vector<uint8_t>& section, const std::string& text, uint32_t vocab = 4096) -> std::string {
    FileWriter out(folder / "out.tm2");
    out.begin({{"vocab", vocab}}, {}, section);
    out.finish();
    try {
      return verify_tokenizer(out.partial_path(), text);
    } catch (const Error& error) {
      return error.what();
    }
  };
  auto built = [&](const std::string& json) {
    write_file(folder / "tokenizer.json", json);
    TokenizerInfo info;
    return build_tokenizer_section(folder / "tokenizer.json", 4096, &info);
  };
  const std::string text = "A girl, 12 dogs.\n ok", same = " ids of the text, which give the same text\n";
  for (const char* name : {"llama3", "qwen2", "digits", "metaspace", "llama", "gpt2", "sentencepiece", "world", "llama2c"}) {
    TokenizerInfo info;
    const auto section = build_tokenizer_section(std::string("tests/golden/tokenizer/") + name, 4096, &info);
    CHECK(said(section, text).ends_with(same));
  }
  CHECK_EQ(said(build_byte_tokenizer_section(256), "abc"), "the tokenizer makes 3" + same);
  CHECK_EQ(said({}, text), "");
  CHECK(contains(said(build_byte_tokenizer_section(256), "abc", 200), "tokenizer: 256 ids, the model has 200"));

  // Characters that have no id, or one id for them all, are the tokenizer's own and a warning; another text is not.
  const std::string some = R"({"model":{"type":"BPE","merges":[],"vocab":{"a":0,"b":1,"?":2})";
  const std::string byte_level = R"(},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true}})";
  CHECK(contains(said(built(some + byte_level), "a c b"), "which give it without 3 of its 5 bytes"));
  CHECK(contains(said(built(some + R"(,"unk_token":"?"}})"), "acb"), "of which 1 stand for what is unknown"));
  std::vector<uint8_t> damaged = build_byte_tokenizer_section(256);
  const std::string letters = "abc";
  auto at = std::search(damaged.begin(), damaged.end(), letters.begin(), letters.end());
  CHECK(at != damaged.end());
  *at = 'z';
  CHECK(contains(said(damaged, "a bad day"), "the tokenizer reads \"a bad day\" back as \"z bzd dzy\""));
}

TEST(no_source_and_no_place) {
  Folder folder;
  failure(folder, folder / "nothing", Code::failed);
  CHECK(contains(failure(folder, folder.path), "is an empty folder"));
  write_file(folder / "noise", "once upon a time there was a file that meant nothing at all to anyone");
  CHECK(contains(failure(folder, folder / "noise"), "not a source of a known kind"));
  write_file(folder / "empty", "");
  failure(folder, folder / "empty");
  Options options;
  options.source = "synthetic:tiny";
  options.destination = folder / "none/out.tm2";
  const std::optional<Error> error = refusal_of(options);
  CHECK(error && error->code == Code::failed);
}

TEST(a_source_is_not_overwritten) {
  Folder folder;
  Model model;
  std::string bytes = llama2c_legacy(model);
  write_file(folder / "model.bin", bytes);
  Options options;
  options.source = options.destination = folder / "model.bin";
  const std::optional<Error> error = refusal_of(options);
  CHECK(error && error->code == Code::usage);
  CHECK(read_file(folder / "model.bin") == bytes);
}

TEST(real_ternary_checkpoint) {
  std::string source = data_path("checkpoints/bitllama-3M").string();
  if (!std::filesystem::exists(source)) SKIP(no_data("checkpoints/bitllama-3M"));
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
  if (!std::filesystem::exists(source)) SKIP(no_data("checkpoints/stories260K"));
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
