// Sources that lie: every truncation is an error that leaves no file, every flipped byte an error or a whole file.
#include <algorithm>

#include "convert/base/json.h"
#include "convert_checks.h"
#include "engine/engine.h"
#include "gguf_source.h"

using namespace convert_checks;
using edgellm::convert::Json;
using edgellm::convert::text;

namespace {

constexpr Shape SMALL{1, 8, 6, 2, 1, 4, 5, 2};

// What the runtime says of a file, empty if it takes it.
std::string runtime_refusal(const std::string& path) {
  edgellm::Span<const edgellm::u8> map;
  CHECK(edgellm::map_file(path.c_str(), {}, &map).ok());
  edgellm::EngineOptions options;
  options.file = map;
  edgellm::Engine engine;
  const edgellm::Status status = edgellm::plan_engine(options, &engine);
  const std::string said = status.ok() ? "" : status.text();
  edgellm::release_memory(map);
  return said;
}

// True when it converted. Errors must be about the source and leave nothing; a file is one that the runtime takes.
bool converts(const Folder& folder, const std::string& source, std::string* refusal = nullptr) {
  Options options;
  options.source = source;
  options.destination = folder / "out.tm2";
  if (const std::optional<Error> error = refusal_of(options)) {
    if (error->code != Code::bad_model) check::failed(__FILE__, __LINE__, error->what());
    CHECK(!std::filesystem::exists(folder / "out.tm2"));
    CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
    if (refusal) *refusal = error->what();
    return false;
  }
  CHECK_EQ(runtime_refusal(options.destination), "");
  model_reader::read_model(options.destination);
  std::filesystem::remove(options.destination);
  return true;
}

// `file` is the one that suffers, `source` what is converted.
void hurt(const Folder& folder, const std::string& file, const std::string& source) {
  const std::string whole = read_file(file);
  CHECK(converts(folder, source));
  for (size_t size = 0; size < whole.size(); size++) {
    write_file(file, whole.substr(0, size));
    CHECK(!converts(folder, source));
  }
  write_file(file, whole + "x");
  CHECK(!converts(folder, source));
  std::mt19937 random(11);
  for (int round = 0; round < 2000; round++) {
    std::string hurt = whole;
    // Half of the blows go to the first bytes, where the lengths are.
    size_t reach = round % 2 ? whole.size() : std::min<size_t>(whole.size(), 64);
    for (int blow = 0; blow < 1 + round % 3; blow++)
      hurt[random() % reach] = static_cast<char>(round % 5 ? random() : 0xff);
    write_file(file, hurt);
    converts(folder, source);
    check::passed();
  }
  write_file(file, whole);
}

void hurt_file(const std::string& bytes) {
  Folder folder;
  write_file(folder / "source.bin", bytes);
  hurt(folder, folder / "source.bin", folder / "source.bin");
}

TEST(llama2c_legacy_files) {
  hurt_file(llama2c_legacy(Model(Fill::random, false, true, SMALL)));
}

TEST(llama2c_version_1_files) {
  Model model(Fill::random, false, true, SMALL);
  hurt_file(llama2c_versioned(&model, 1));
}

TEST(llama2c_version_2_files) {
  Shape shape = SMALL;
  shape.ffn = 8;
  Model model(Fill::random, false, true, shape);
  hurt_file(llama2c_versioned(&model, 2));
}

TEST(tm2_version_1_files) {
  Model model(Fill::ternary_row, true, true, SMALL);
  for (const char* name : {"embed", "head"})
    model.matrix(name, 5, 8, Fill::ternary_row);
  hurt_file(tm2_version1(model));
}

TEST(tmac_version_2_files) {
  hurt_file(tmac_version2(Model(Fill::ternary_row, true, true, SMALL)));
}

// Sizes that end at the alignment, so that no byte is padding at the end.
TEST(gguf_files) {
  Shape shape = SMALL;
  shape.dim = 8;
  Gguf gguf = gguf_of(Model(Fill::random, false, true, shape), "llama");
  gguf.flag("tokenizer.ggml.add_bos_token", true).numbers<float>("some.scores", 6, {1, 2}).texts("some.texts", {"a", "bc"});
  hurt_file(gguf.bytes());
}

TEST(quantised_gguf_files) {
  Model model(Fill::ternary_tensor, false, true, {1, 32, 32, 1, 1, 32, 4, 2});
  Gguf gguf = gguf_of(model, "qwen2");
  for (Gguf::Stored& stored : gguf.tensors) {
    if (stored.shape.size() < 2) continue;
    stored.type = 8;  // Q8_0
    stored.data.assign(stored.shape[0] * stored.shape[1] / 32 * 34, '\1');
  }
  std::rotate(gguf.tensors.begin(), gguf.tensors.end() - 1,
              gguf.tensors.end());  // `norm`, which ends at the alignment, comes last
  hurt_file(gguf.bytes());
}

TEST(safetensors_files) {
  Folder folder;
  Model model(Fill::random, false, false, SMALL);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  hurt(folder, folder / "model.safetensors", folder.path);
}

TEST(packed_safetensors_files) {
  Folder folder;
  Model model(Fill::ternary_tensor, true, false, SMALL);
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), packed_tensors(model, false));
  hurt(folder, folder / "model.safetensors", folder.path);
}

TEST(config_files) {
  Folder folder;
  Model model(Fill::random, false, false, SMALL);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  hurt(folder, folder / "config.json", folder.path);
}

std::string with(const Json::Object& config, const std::string& key, const std::string& value) {
  std::string out;
  for (const auto& [name, old] : config)
    out += (out.empty() ? "{\"" : ",\"") + name + "\":" + (name == key ? value : written(old));
  return out + "}";
}

const char* const HOSTILE_VALUES[] = {"0",   "-1",    "0.5",      "2",         "1e308",      "1e-50",      "1e40",
                                      "NaN", "[]",    "Infinity", "-Infinity", "2147483647", "4294967297", "16777217",
                                      "{}",  "\"x\"", "true",     "null",      "[1e308]",    "4096"};

// Every value of a configuration, replaced by every one of these: an error, or a file that the runtime takes.
void hurt_config(const Folder& folder) {
  const std::string path = folder / "config.json", whole = read_file(path);
  CHECK(converts(folder, folder.path));
  const Json config = edgellm::convert::parse_json(whole, path);
  for (const auto& member : *config.object()) {
    for (const char* value : HOSTILE_VALUES) {
      write_file(path, with(*config.object(), member.first, value));
      converts(folder, folder.path);
      check::passed();
    }
  }
  write_file(path, whole);
}

// A folder of tests/golden/recurrent, copied.
void copy_golden(const std::string& name, const Folder& folder) {
  for (const char* file : {"config.json", "model.safetensors"})
    write_file(folder / file, read_file("tests/golden/recurrent/" + name + "/" + file));
}

TEST(configurations_of_hostile_values) {
  {
    Folder folder;
    Model model(Fill::random, false, false, SMALL);
    const std::string more =
        R"(,"hidden_act":"silu","tie_word_embeddings":true,"rope_scaling":null,"partial_rotary_factor":1,)"
        R"("quantization_config":null,"final_norm_eps":1e-5,"norms":"","qk_layernorm":false)";
    const std::string window = R"(,"sliding_window":2,"use_sliding_window":true,"max_window_layers":0)";
    for (const auto& [architecture, own] :
         {std::pair<std::string, std::string>{"LlamaForCausalLM", ",\"attention_bias\":false"},
          {"MistralForCausalLM", window},
          {"Qwen2ForCausalLM", window}}) {
      Model complete = model;
      for (int i = 0; architecture == "Qwen2ForCausalLM" && i < SMALL.layers; i++) {
        complete.vector(Model::layer(i, "q_bias"), static_cast<size_t>(SMALL.heads * SMALL.head_dim));
        for (const char* name : {"k_bias", "v_bias"})
          complete.vector(Model::layer(i, name), static_cast<size_t>(SMALL.kv_heads * SMALL.head_dim));
      }
      write_hf(folder.path, config_json(complete, architecture, more + own), hf_tensors(complete, "F32"));
      hurt_config(folder);
    }
    write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
    const Json config = edgellm::convert::parse_json(read_file(folder / "config.json"), "config.json");
    for (const char* kind : {"linear", "llama3", "yarn", "dynamic"}) {
      const std::string fields =
          text("{\"rope_type\":\"", kind, "\",\"rope_theta\":10000,\"factor\":2,\"original_max_position_embeddings\":2,",
               "\"low_freq_factor\":1,\"high_freq_factor\":4,\"beta_fast\":32,\"beta_slow\":1,\"attention_factor\":1,",
               "\"mscale\":1,\"mscale_all_dim\":1}");
      const Json rope = edgellm::convert::parse_json(fields, "rope");
      for (const auto& member : *rope.object()) {
        for (const char* value : HOSTILE_VALUES) {
          write_file(folder / "config.json", with(*config.object(), "rope_theta",
                                                  "10000,\"rope_parameters\":" + with(*rope.object(), member.first, value)));
          converts(folder, folder.path);
          check::passed();
        }
      }
    }
  }
  for (const char* name : {"mamba", "mamba2", "mamba_untied", "retnet", "retnet_tied", "rwkv4"}) {
    Folder folder;
    copy_golden(name, folder);
    hurt_config(folder);
  }
}

// What the limits and the types are, by name.
TEST(configurations_beyond_the_limits_of_a_file) {
  const struct {
    const char *key, *value, *message;
  } cases[] = {
      {"num_hidden_layers", "1025", "layers is 1025, expected 1 to 1024"},
      {"head_dim", "1026", "head size is 1026, expected 1 to 1024"},
      {"num_attention_heads", "4097", "heads is 4097, expected 1 to 4096"},
      {"max_position_embeddings", "16777217", "context is 16777217, expected 1 to 16777216"},
      {"hidden_size", "131073", "hidden size is 131073, expected 1 to 131072"},
      {"vocab_size", "16777217", "vocabulary is 16777217, expected 1 to 16777216"},
      {"rms_norm_eps", "2", "norm epsilon is 2, expected 0 to 1"},
      {"rms_norm_eps", "-1", "norm epsilon is -1, expected 0 to 1"},
      {"rms_norm_eps", "NaN", "norm epsilon is nan, expected 0 to 1"},
      {"rms_norm_eps", "1e308", "norm epsilon is 1e+308, expected 0 to 1"},
      {"rms_norm_eps", "1e-50", "norm epsilon is 1e-50, which is 0 as an f32"},
      {"rms_norm_eps", "\"x\"", "\"rms_norm_eps\" is not a number"},
      {"rope_theta", "1e308", "the frequency of pair 1 is 0 as an f32"},
      {"rope_theta", "\"x\"", "\"rope_theta\" is not a number"},
      {"rope_theta", "10000,\"hidden_act\":5", "\"hidden_act\" is not a text"},
      {"rope_theta", "10000,\"rope_scaling\":\"linear\"", "\"rope_scaling\" is not an object"},
      {"rope_theta", "10000,\"rope_scaling\":{\"rope_type\":1}", "\"rope_type\" is not a text"},
      {"rope_theta", "10000,\"quantization_config\":true", "\"quantization_config\" is not an object"},
      {"rope_theta", "10000,\"final_norm_eps\":2", "epsilon of the last norm is 2, expected 0 to 1"},
      {"rope_theta", "10000,\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2,\"attention_factor\":1e4}",
       "attention factor is 10000, expected 0.001 to 1000"},
  };
  Folder folder;
  Shape wide = SMALL;
  wide.heads = wide.kv_heads = 1, wide.head_dim = 8;  // more than one pair
  Model model(Fill::random, false, false, wide);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  const Json config = edgellm::convert::parse_json(read_file(folder / "config.json"), "config.json");
  std::string refusal;
  for (const auto& c : cases) {
    write_file(folder / "config.json", with(*config.object(), c.key, c.value));
    refusal.clear();
    CHECK(!converts(folder, folder.path, &refusal));
    CHECK_EQ(refusal.find(c.message) == std::string::npos ? refusal : c.message, c.message);
  }
  write_file(folder / "config.json", with(*config.object(), "rms_norm_eps", "1"));
  CHECK(converts(folder, folder.path));
  write_file(folder / "config.json", with(*config.object(), "rope_theta", "1e4,\"rope_scaling\":null,\"head_dim\":8"));
  CHECK(converts(folder, folder.path));
}

TEST(configurations_of_recurrent_families_beyond_the_limits) {
  const struct {
    const char *family, *key, *value, *message;
  } cases[] = {
      {"mamba", "layer_norm_epsilon", "\"x\"", "\"layer_norm_epsilon\" is not a number"},
      {"mamba", "layer_norm_epsilon", "2", "layer_norm_epsilon is 2, expected 0 to 1"},
      {"mamba2", "layer_norm_epsilon", "NaN", "layer_norm_epsilon is nan, expected 0 to 1"},
      {"mamba2", "n_groups", "0", "n_groups is 0, expected 1 to 4096"},
      {"mamba2", "n_groups", "\"x\"", "\"n_groups\" is not a whole number"},
      {"mamba", "use_bias", "\"x\"", "\"use_bias\" is \"x\", which is not supported (false)"},
      {"mamba", "hidden_act", "1", "\"hidden_act\" is 1, which is not supported"},
      {"mamba", "tie_word_embeddings", "1", "\"tie_word_embeddings\" is not true or false"},
      {"retnet", "layernorm_eps", "\"x\"", "\"layernorm_eps\" is not a number"},
      {"retnet", "layernorm_eps", "1e308", "layernorm_eps is 1e+308, expected 0 to 1"},
      {"retnet", "decoder_layers", "1025", "decoder_layers is 1025, expected 1 to 1024"},
      {"retnet", "layernorm_embedding", "1", "\"layernorm_embedding\" is not true or false"},
      {"rwkv4", "layer_norm_epsilon", "\"x\"", "\"layer_norm_epsilon\" is \"x\", which is not supported (1e-5)"},
      {"rwkv4", "layer_norm_epsilon", "-1", "\"layer_norm_epsilon\" is -1, which is not supported"},
      {"rwkv4", "context_length", "\"x\"", "\"context_length\" is not a whole number"},
      {"rwkv4", "context_length", "16777217", "context_length is 16777217, expected 1 to 16777216"},
  };
  for (const auto& c : cases) {
    Folder folder;
    copy_golden(c.family, folder);
    const Json config = edgellm::convert::parse_json(read_file(folder / "config.json"), "config.json");
    CHECK(config.find(c.key));
    write_file(folder / "config.json", with(*config.object(), c.key, c.value));
    std::string refusal;
    CHECK(!converts(folder, folder.path, &refusal));
    CHECK_EQ(refusal.find(c.message) == std::string::npos ? refusal : c.message, c.message);
  }
}

TEST(torch_files) {
  Folder folder;
  Model model(Fill::random, false, false, SMALL);
  write_file(folder / "config.json", config_json(model, "LlamaForCausalLM"));
  write_file(folder / "pytorch_model.bin", torch_save(hf_tensors(model, "F16")));
  hurt(folder, folder / "pytorch_model.bin", folder.path);
}

// What it is refused for.
std::string refusal(const Folder& folder, const std::string& bytes) {
  write_file(folder / "pytorch_model.bin", bytes);
  std::string said = "converted";
  converts(folder, folder.path, &said);
  return said;
}

TEST(archives_that_lie) {
  Folder folder;
  write_file(folder / "config.json", config_json(Model(Fill::random, false, false, SMALL), "LlamaForCausalLM"));
  const std::string weights(64, '\1'), empty = "}.";
  auto refused_for = [&](const std::string& bytes, const std::string& reason) {
    CHECK_EQ(refusal(folder, bytes).substr(folder.path.size() + 20, reason.size()), reason);
  };
  refused_for(
      "\x80\x02\x8a\x0al\xfc\x9c"
      "F\xf9 j\xa8P\x19.",
      "a torch file of before version 1.6, expected a zip archive, as torch.save has written them since version 1.6");
  refused_for(zip({{"model/data/0", weights}}), "there is no data.pkl");
  // A bomb: 64 bytes that are to become 4 GB.
  refused_for(zip({{"m/data.pkl", empty}, {"m/data/0", weights, 8, 0xfffffff0}}), "member m/data/0 is compressed");
  refused_for(zip({{"m/data.pkl", empty}, {"m/data/0", weights, 0, 0xfffffff0}}), "member m/data/0 is compressed");
  refused_for(zip({{"m/data.pkl", empty}, {"m/data/0", weights}, {"m/data/0", weights}}), "member m/data/0 is there twice");
  refused_for(zip({{"m/data.pkl", empty}, {"m/byteorder", "big"}}), "its values are big endian");
  // Two directory entries for the same bytes.
  std::string shared = zip({{"m/data.pkl", empty}, {"m/data/0", weights}, {"m/data/1", weights}});
  size_t last = shared.rfind("PK\x01\x02"), before = shared.rfind("PK\x01\x02", last - 1);
  shared.replace(last + 42, 4, shared.substr(before + 42, 4));
  refused_for(shared, "damaged zip archive: members overlap");
}

TEST(pickles_that_do_more_than_name_tensors) {
  Folder folder;
  write_file(folder / "config.json", config_json(Model(Fill::random, false, false, SMALL), "LlamaForCausalLM"));
  const HfTensor tensor{"F32", {2, 8}, std::string(64, '\1')};
  auto refused = [&](const std::string& pickle, const std::string& reason) {
    std::string said = refusal(folder, zip({{"m/data.pkl", pickle}, {"m/data/1", tensor.data}}));
    CHECK_EQ(said.substr(folder.path.size() + 20, reason.size()), reason);
  };
  const std::string damaged = "its pickle is damaged, or holds more than named tensors";
  const std::string entry = pickled_text("model.norm.weight"), whole = pickled_tensor("1", tensor);
  auto storage_of = [&](const std::string& replaced, const std::string& by) {
    std::string changed = whole;
    changed.replace(changed.find(replaced), replaced.size(), by);
    return "}(" + entry + changed + "u.";
  };
  refused("cos\nsystem\n(" + pickled_text("echo no") + "tR.", damaged);   // a call
  refused("(" + pickled_text("echo no") + "ios\nsystem\n.", damaged);     // INST
  refused("cbuiltins\neval\n(" + pickled_text("1") + "t\x81.", damaged);  // NEWOBJ
  refused("c__main__\nThing\n)\x92.", damaged);                           // NEWOBJ_EX
  refused("\x82\x01.", damaged);                                          // EXT1
  refused("P1\n.", damaged);                                              // PERSID
  refused("", damaged);
  refused(".", damaged);
  refused("u.", damaged);
  refused("h\xff.", damaged);
  refused("}r\xff\xff\xff\xff.", damaged);
  refused("X\xff\xff\xff\x7f.", damaged);
  refused(std::string(100000, '(') + ".", "its pickle is no dictionary");
  refused(std::string(5 << 20, ')') + ".", "its pickle makes more than 4194304 values");
  refused(pickled_text("torch") + pickled_text(std::string(300, 'x')) + "\x93.", damaged);
  refused("}q", damaged);
  refused(Bytes().text("}q").put(uint8_t{0}).text("(").text(entry).text("h").put(uint8_t{0}).text("u.").data,
          "entry 0 of its dictionary is no named tensor");  // it holds itself
  std::string doubling = pickled_text("xxxxxxxx") + "q";
  for (int i = 0; i < 100; i++)
    doubling += Bytes().put(uint8_t{0}).text("h").put(uint8_t{0}).text("h").put(uint8_t{0}).text("\x93q").data;
  refused(doubling, damaged);
  refused("](" + entry + "e.", "its pickle is no dictionary");
  refused("}(" + entry + pickled_number(1) + "u.", "entry 0");
  refused("}(" + entry + whole + entry + whole + "u.", "tensor model.norm.weight is there twice");
  refused(storage_of(pickled_text("1"), pickled_text("7")), "tensor model.norm.weight has no storage");
  HfTensor deep = tensor;
  deep.shape.assign(9, 1);
  refused("}(" + entry + pickled_tensor("1", deep) + "u.", "tensor model.norm.weight has 9 dimensions, at most 8");
  for (size_t rows : {3u, 1u << 30}) {
    refused(storage_of(pickled_number(2) + pickled_number(8), pickled_number(rows) + pickled_number(8)),
            "tensor model.norm.weight reaches past the 16 values");
  }
  refused(storage_of(pickled_number(8) + pickled_number(1), pickled_number(7) + pickled_number(1)),
          "tensor model.norm.weight is not in row-major order");
}

TEST(shard_index_files) {
  Folder folder;
  Model model(Fill::random, false, false, SMALL);
  write_sharded(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  const std::string index = folder / "model.safetensors.index.json", whole = read_file(index);
  CHECK(converts(folder, folder.path));
  for (size_t size = 0; size < whole.size(); size++) {
    write_file(index, whole.substr(0, size));
    CHECK(!converts(folder, folder.path));
  }
  write_file(index, "{\"weight_map\":{\"model.norm.weight\":\"../elsewhere.safetensors\"}}");
  CHECK(!converts(folder, folder.path));
}

}  // namespace
