// Adapters merged into their model, against the logits that `peft` and `transformers` computed (tools/golden/lora_golden.py), and
// adapters that must be refused.

#include "convert/change/peft.h"
#include "convert_checks.h"
#include "golden_logits.h"

using namespace convert_checks;
using edgellm::f32;
using edgellm::i32;

namespace {

const std::string GOLDEN = "tests/golden/lora/";

Options with_adapter(const std::string& adapter) {
  Options options = with_weights(Format::F32);
  options.lora = adapter;
  return options;
}

Values logits_after_each(const std::string& path, size_t count) {
  edgellm::EngineOptions options;
  options.kv = edgellm::KvFormat::F32;
  return logits_of(path, static_cast<i32>(count), options);
}

// The file with the adapter, after its logits were compared, and what the converter said.
struct Compared {
  ModelFile file;
  std::string report;
};

Compared compare(const std::string& base, size_t vocabulary, const std::string& name) {
  Folder folder;
  Options options = with_adapter(GOLDEN + name);
  Compared compared;
  options.formats = {Format::F32, Format::F32, Format::F32};
  compared.file = converted(folder, GOLDEN + base, options, &compared.report);
  const Values expected = read_array<f32>(GOLDEN + name + "/logits.f32");
  const double error = relative_error(logits_after_each(folder / "out.tm2", expected.size() / vocabulary), expected);
  std::printf("%s: logits differ by %.2g\n", name.c_str(), error);
  CHECK(error < 1e-5);
  options.lora.clear();
  converted(folder, GOLDEN + base, options);
  CHECK(relative_error(logits_after_each(folder / "out.tm2", expected.size() / vocabulary), expected) > 0.1);
  CHECK(!contains(compared.report, "unknown field"));
  return compared;
}

TEST(adapters_of_peft) {
  compare("base", 61, "patterns");
  compare("base", 61, "stabilised");
}

// What PEFT computes where the head is the embedding: factors and saved modules are of one of the two.
TEST(adapters_of_a_tied_model) {
  for (const char* name : {"tied_saved", "tied_factors", "tied_head", "tied_both", "kept_scales"}) {
    const Compared compared = compare("tied", 31, name);
    CHECK(compared.file.tensors.contains("head"));
    CHECK(contains(compared.report, "embedding and head, tied in the model, differ"));
  }
  for (const char* name : {"kept_saved", "kept_factors"})
    CHECK(!compare("tied", 31, name).file.tensors.contains("head"));
}

// Which modules and settings the configuration names; the files have factors of more.
TEST(what_the_configuration_names) {
  const Compared layers = compare("tied", 31, "layers");
  CHECK(contains(layers.report, "has no factors for 1 module that its configuration names"));
  CHECK(contains(layers.report, "model.layers.1.mlp.up_proj"));
  CHECK(contains(layers.report, "tensors of 8 modules have no effect"));  // of layer 0, and layer 1's plain q_proj
  for (const char* name : {"layers_pattern", "expressions", "excluded", "default_targets"})
    CHECK(contains(compare("tied", 31, name).report, "have no effect"));
  CHECK(!contains(compare("tied", 31, "all_linear").report, "have no effect"));
}

void write_config(const Folder& folder, const std::string& members) {
  write_file(folder / "adapter_config.json", "{\"peft_type\":\"LORA\",\"r\":2,\"lora_alpha\":4" + members + "}");
}

// What Python says: a pattern of alpha_pattern as re.match(rf"(.*\.)?({pattern})$", module), target_modules as re.fullmatch.
TEST(regular_expressions_of_python) {
  constexpr struct {
    const char *pattern, *module;
    bool end, whole;
  } CASES[] = {
      {"q_proj", "model.layers.0.self_attn.q_proj", true, false},
      {"layers.1.self_attn.q_proj", "model.layers.1.self_attn.q_proj", true, false},
      {"layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj", false, false},
      {"layers.1..self_attn.q_proj", "model.layers.11.self_attn.q_proj", true, false},
      {"q.proj", "model.layers.0.self_attn.q_proj", true, false},
      {"_proj", "model.layers.0.self_attn.q_proj", false, false},
      {"^model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj", true, true},
      {"^layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj", false, false},
      {"(q|v)_proj", "model.layers.0.self_attn.v_proj", true, false},
      {"q|v_proj", "model.layers.0.self_attn.v_proj", true, false},
      {"^[m]odel.+", "model.layers.0.mlp.down_proj", true, true},
      {"[^qv]_proj", "model.layers.0.self_attn.v_proj", false, false},
      {"[a-z]{4}_proj", "model.layers.0.mlp.down_proj", true, false},
      {"[a-z]{5,}_proj", "model.layers.0.mlp.down_proj", false, false},
      {"\\d+\\.mlp\\..*", "model.layers.10.mlp.down_proj", true, false},
      {"(?!.*\\.0\\.).*down_proj", "model.layers.0.mlp.down_proj", true, false},
      {"(?!.*\\.0\\.).*down_proj", "model.layers.1.mlp.down_proj", true, true},
      {"\\bdown\\w+?", "model.layers.1.mlp.down_proj", true, false},
      {"(down_proj$)", "model.layers.1.mlp.down_proj", true, false},
      {"", "lm_head", false, false},
      {"lm_head|", "lm_head", true, true},
      {"(self_attn|mlp).*_proj", "model.layers.3.mlp.up_proj", true, false},
      {"(.*\\.)?(layers\\.\\d+\\.)(mlp\\..*)", "model.layers.3.mlp.up_proj", true, true},
      {".*\\.(?:[02468])\\..*", "model.layers.3.mlp.up_proj", false, false},
  };
  Folder folder;
  std::vector<std::string> notes;
  const std::string path = folder / "adapter_config.json";
  for (const auto& known : CASES) {
    std::string escaped;
    for (const char* c = known.pattern; *c; c++)
      escaped += *c == '\\' ? "\\\\" : std::string(1, *c);
    write_config(folder, ",\"alpha_pattern\":{\"" + escaped + "\":5},\"target_modules\":\"" + escaped + "\"");
    const edgellm::convert::PeftConfig config(path, {"model.embed_tokens", "lm_head", true}, &notes);
    CHECK_EQ(config.scale_of(known.module), known.end ? 2.5f : 2.0f);
    CHECK_EQ(config.targets(known.module), known.whole);
  }
  for (const char* other : {"(?<=a)b",
                            "(?P<a>b)",
                            "(?i)q_proj",
                            "(a)\\\\1",
                            "a*+",
                            "a**",
                            "a{2}{3}",
                            "a{,3}",
                            "a{",
                            "}",
                            "[]a]",
                            "[^]a]",
                            "[[:alpha:]]",
                            "[a",
                            "\\\\z",
                            "\\\\Z",
                            "(a",
                            "*a",
                            "\u00e4",
                            "((.*)*)*z",
                            "([a-z]+(b|c)?)+z",
                            "(a+){2,}",
                            "(a{1,}b)*",
                            ".*.*.*.*.*.*.*z",
                            "(.|.)*z",
                            "(.*){30}z",
                            "(.{0,30}){0,30}z",
                            ".?.?.?.?.?.?.?z"}) {
    for (const char* key : {"rank_pattern", "alpha_pattern", "target_modules", "exclude_modules"}) {
      const std::string quoted = std::string("\"") + other + "\"",
                        value = std::strstr(key, "_pattern") ? "{" + quoted + ":5}" : quoted;
      write_config(folder, std::string(",\"") + key + "\":" + value);
      std::string said;
      try {
        const edgellm::convert::PeftConfig config(path, {"", "", false}, &notes);
      } catch (const Error& error) {
        said = error.what();
      }
      if (!contains(said, std::string(key) + ": \"") || !contains(said, "is a regular expression that cannot be read"))
        CHECK_EQ(said, quoted + " is refused");
    }
  }
  CHECK(notes.empty());
}

constexpr const char* CONFIG = R"("peft_type":"LORA","r":2,"lora_alpha":4,"bias":"none")";

// One pair for a matrix that has 24 columns and so many rows.
HfTensors pair_for(const std::string& module, size_t rows, size_t rank = 2) {
  const std::string prefix = "base_model.model." + module;
  return {{prefix + ".lora_A.weight", {"F32", {rank, 24}, bytes_as("F32", Values(rank * 24, 0.5f))}},
          {prefix + ".lora_B.weight", {"F32", {rows, rank}, bytes_as("F32", Values(rows * rank, 0.25f))}}};
}

void write_adapter(const Folder& folder, const std::string& config, const HfTensors& tensors) {
  write_file(folder / "adapter_config.json", "{" + config + "}");
  write_file(folder / "adapter_model.safetensors", safetensors(tensors));
}

constexpr const char* Q = "model.layers.0.self_attn.q_proj";

TEST(the_sum_is_what_it_says) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  write_adapter(folder, CONFIG, pair_for(Q, 24));
  ModelFile file = converted(folder, folder.path, with_adapter(folder.path));
  CHECK(contains(file.texts.at("source"), "with the adapter"));
  for (float& value : model.tensors.at("layers.0.q").values)
    value += 2 * (2 * 0.25f * 0.5f);  // alpha / rank; rank times B times A
  check_exact(file, model);
  // Quantised after the merge.
  file = converted(folder, folder.path, [&] {
    Options options = with_adapter(folder.path);
    options.formats.weights = Format::I8;
    return options;
  }());
  CHECK(relative_error(file.tensors.at("layers.0.q").values, model.of("layers.0.q")) < 0.01);
}

TEST(adapters_that_cannot_be_merged) {
  Folder folder;
  Model model(Fill::random, false, true);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  auto refused = [&](const std::string& config, const HfTensors& tensors, const std::string& reason) {
    write_adapter(folder, config, tensors);
    std::string said = failure(folder, folder.path, Code::bad_model, with_adapter(folder.path));
    if (!contains(said, reason)) CHECK_EQ(said, reason);
  };
  const std::string config = CONFIG;
  const HfTensors good = pair_for(Q, 24);
  refused(R"("peft_type":"LOHA","r":2)", good, "peft_type \"LOHA\", expected \"LORA\"");
  refused(R"("peft_type":"LORA","r":2,"lora_alpha":4,"bias":"all")", good, "bias \"all\" is not supported");
  for (const char* field : {"alora_invocation_tokens", "arrow_config", "kasa_config", "layer_replication", "lora_bias",
                            "megatron_config", "monteclora_config", "target_parameters", "trainable_token_indices",
                            "use_bdlora", "use_dora", "use_qalora", "velora_config"}) {
    const std::string name = std::string("\"") + field + "\"";
    for (const char* value : {"true", "1", "\"a\"", "[[0,2]]", "{\"a\":null}"})
      refused(config + "," + name + ":" + value, good, name + " is not supported");
    for (const char* value : {"false", "0", "null", "\"\"", "[]", "{}"}) {
      write_adapter(folder, config + "," + name + ":" + value, good);
      converted(folder, folder.path, with_adapter(folder.path));
      std::filesystem::remove(folder / "out.tm2");
    }
  }
  refused(config + R"(,"init_lora_weights":"pissa_niter_4")", good, "\"pissa_niter_4\" changed the weights");
  refused(config + R"(,"init_lora_weights":"zeros")", good, "init_lora_weights \"zeros\" is not known");
  refused(config + R"(,"init_lora_weights":"orthogonal")", good,
          "no factors for model.layers.0.self_attn.v_proj, ..., where they");
  refused(config + R"(,"init_lora_weights":false)", good, "where they begin at random");
  refused(config + R"(,"rank_pattern":{".*q.proj":3})", good, "has the shape 2 x 24, expected 3 x 24");
  refused(config + R"(,"rank_pattern":[3])", good, "\"rank_pattern\" is not an object");
  refused(config + R"(,"target_modules":[])", good, "target_modules names no matrix");
  refused(config + R"(,"target_modules":["a"])", good, "target_modules names no matrix");
  refused(config + R"(,"target_modules":[7])", good, "\"target_modules\" has an element that is not a text");
  refused(config + R"(,"target_modules":7)", good, "\"target_modules\" is neither a list nor a text");
  refused(config + R"(,"layers_pattern":"layers")", good, "without layers_to_transform");
  refused(config + R"(,"layers_to_transform":1,"target_modules":"q_proj")", good,
          "do not go with a target_modules that is a text");
  refused(config + R"(,"layers_to_transform":["1"])", good, "\"layers_to_transform\" is neither");
  refused(config + R"(,"layers_to_transform":[7])", good, "target_modules names no matrix");
  refused(config + R"(,"modules_to_save":"lm_head")", good, "\"modules_to_save\" is not a list");
  refused(config + R"(,"modules_to_save":["lm_head"])", good,
          "modules_to_save names lm_head, but the adapter has no tensor");
  refused(config + R"(,"modules_to_save":["norm"])", good, "modules_to_save names model.");
  refused(config + R"(,"rank_pattern":{"q_proj":3})", good, "has the shape 2 x 24, expected 3 x 24");
  refused(config + R"(,"rank_pattern":{"q_proj":null})", good, "rank_pattern: \"q_proj\" is not a number");
  refused(R"("peft_type":"LORA","lora_alpha":4)", good, "\"r\" is missing");
  refused(R"("peft_type":"LORA","r":0,"lora_alpha":4)", good, "is 0, expected 1 to");
  refused(R"("peft_type":"LORA","r":2)", good, "\"lora_alpha\" is missing");
  refused(config, pair_for("model.layers.9.self_attn.q_proj", 24),
          "has no float tensor model.layers.9.self_attn.q_proj.weight");
  refused(config + R"(,"target_modules":["k_proj"])", pair_for("model.layers.0.self_attn.k_proj", 24),
          "has the shape 24 x 2, expected 8 x 2");
  refused(config, pair_for("model.norm", 24), "model.norm is no matrix");
  const std::string q = std::string("base_model.model.") + Q;
  refused(config,
          {{q + ".lora_embedding_A", {"F32", {2, 24}, std::string(192, 0)}},
           {q + ".lora_embedding_B", {"F32", {24, 2}, std::string(192, 0)}}},
          "an embedding has lora_embedding_A and B");
  refused(config, {{"base_model.model.", {"F32", {24}, std::string(96, 0)}}}, "has no float tensor  to merge it into");
  HfTensors half = good;
  half.erase(half.begin());
  refused(config, half, "without its other half");
  HfTensors more = good;
  more[std::string("base_model.model.") + Q + ".lora_magnitude_vector"] = {"F32", {24}, std::string(96, '\1')};
  refused(config, more, "of a kind of adapter that cannot be merged");
  more = good;
  more["lm_head.weight"] = {"F32", {24}, std::string(96, '\1')};
  refused(config, more, "does not begin with base_model.model.");
  more = good;
  more["base_model.model.lm_head.weight"] = {"F32", {24}, std::string(96, '\1')};
  refused(config, more, "has the shape 24, expected 37 x 24");
}

// A newer version may know more.
TEST(unknown_fields_are_noted) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  std::string said;
  write_adapter(folder, std::string(CONFIG) + R"(,"use_new":true,"newer":{"a":1},"newest":false)", pair_for(Q, 24));
  converted(folder, folder.path, with_adapter(folder.path), &said);
  CHECK(contains(said, "unknown fields have no effect, as in PEFT 0.21: use_new, newer"));
  CHECK(!contains(said, "newest"));
}

// Packed ternary weights are no sum with floats.
TEST(ternary_models_take_no_adapter) {
  Folder folder;
  Model model(Fill::ternary_tensor, true);
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), packed_tensors(model, false));
  write_adapter(folder, CONFIG, pair_for(Q, 24));
  CHECK(contains(failure(folder, folder.path, Code::bad_model, with_adapter(folder.path)), "has no float tensor"));
}

}  // namespace
