// Adapters merged into their model, against the logits that `peft` and `transformers` computed (tools/golden/lora_golden.py), and
// adapters that must be refused.
#include <cstring>

#include "convert_checks.h"
#include "engine/engine.h"

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
  options.threads = 1;
  options.kv = edgellm::KvFormat::F16;
  CHECK(edgellm::map_file(path.c_str(), {}, &options.file).ok());
  edgellm::Engine engine;
  CHECK_EQ(std::string(edgellm::open_engine(options, &engine).text()), "");
  Values logits;
  const i32 vocab = engine.model.vocab;
  for (i32 i = 0; i < static_cast<i32>(count); i++) {
    i32 id = (31 * i * i + 7 * i + 1) % vocab;
    edgellm::Step step = {&engine.sessions[0], {&id, 1}, edgellm::Wanted::last};
    CHECK(edgellm::forward(engine, {&step, 1}).ok());
    logits.insert(logits.end(), edgellm::logits_row(engine, 0), edgellm::logits_row(engine, 0) + vocab);
  }
  edgellm::close_engine(engine);
  edgellm::release_memory(options.file);
  return logits;
}

TEST(adapters_of_peft) {
  for (const char* name : {"patterns", "stabilised"}) {
    Folder folder;
    converted(folder, GOLDEN + "base", with_adapter(GOLDEN + name));
    const std::string bytes = read_file(GOLDEN + name + "/logits.f32");
    Values expected(bytes.size() / sizeof(f32));
    std::memcpy(expected.data(), bytes.data(), bytes.size());
    Values found = logits_after_each(folder / "out.tm2", expected.size() / 61);
    CHECK(relative_error(found, expected) < 1e-3);  // the f16 cache
    converted(folder, GOLDEN + "base", with_weights(Format::F32));
    CHECK(relative_error(logits_after_each(folder / "out.tm2", expected.size() / 61), expected) > 0.1);
  }
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
  refused(config + R"(,"use_dora":true)", good, "\"use_dora\" is not supported");
  refused(config + R"(,"layer_replication":[[0,2]])", good, "\"layer_replication\" is not supported");
  refused(config + R"(,"init_lora_weights":"pissa_niter_4")", good, "\"pissa_niter_4\" changed the weights");
  refused(config + R"(,"rank_pattern":{".*q_proj":3})", good, "is a regular expression");
  refused(config + R"(,"rank_pattern":{"q_proj":3})", good, "has the shape 2 x 24, expected 3 x 24");
  refused(config + R"(,"rank_pattern":{"q_proj":null})", good, "rank_pattern: \"q_proj\" is not a number");
  refused(R"("peft_type":"LORA","lora_alpha":4)", good, "\"r\" is missing");
  refused(R"("peft_type":"LORA","r":0,"lora_alpha":4)", good, "is 0, expected 1 to");
  refused(R"("peft_type":"LORA","r":2)", good, "\"lora_alpha\" is missing");
  refused(config, pair_for("model.layers.9.self_attn.q_proj", 24),
          "has no float tensor model.layers.9.self_attn.q_proj.weight");
  refused(config, pair_for("model.layers.0.self_attn.k_proj", 24), "has the shape 24 x 2, expected 8 x 2");
  refused(config, pair_for("model.norm", 24), "model.norm is no matrix");
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

// Packed ternary weights are no sum with floats.
TEST(ternary_models_take_no_adapter) {
  Folder folder;
  Model model(Fill::ternary_tensor, true);
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), packed_tensors(model, false));
  write_adapter(folder, CONFIG, pair_for(Q, 24));
  CHECK(contains(failure(folder, folder.path, Code::bad_model, with_adapter(folder.path)), "has no float tensor"));
}

}  // namespace
