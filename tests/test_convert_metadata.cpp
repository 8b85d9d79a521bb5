// Which metadata each family's configuration becomes: all of them for each source, and for each field that is changed on its own
// what changes with it.
#include <algorithm>
#include <sstream>

#include "convert_checks.h"
#include "gguf_source.h"

using namespace convert_checks;

namespace {

// The entries of `changed` that `base` does not have, and "-key" for those that are gone.
std::string difference(const std::string& base, const std::string& changed) {
  auto entries = [](const std::string& text) {
    std::vector<std::string> out;
    std::istringstream words(text);
    for (std::string word; words >> word;)
      out.push_back(word);
    return out;
  };
  auto key = [](const std::string& entry) { return entry.substr(0, entry.find('=')); };
  const std::vector<std::string> before = entries(base), after = entries(changed);
  std::string out;
  for (const std::string& entry : after) {
    if (std::find(before.begin(), before.end(), entry) == before.end()) out += (out.empty() ? "" : " ") + entry;
  }
  for (const std::string& entry : before) {
    auto same_key = [&](const std::string& other) { return key(other) == key(entry); };
    if (std::none_of(after.begin(), after.end(), same_key)) out += (out.empty() ? "-" : " -") + key(entry);
  }
  return out;
}

Model model_for(const std::string& architecture) {
  Model model(Fill::random, architecture.starts_with("Bit"));
  for (int i = 0; i < model.shape.layers; i++) {
    if (architecture.starts_with("Qwen2")) {
      model.vector(Model::layer(i, "q_bias"), 24);
      for (const char* name : {"k_bias", "v_bias"})
        model.vector(Model::layer(i, name), 8);
    }
    for (const char* name : {"q_norm", "k_norm"})
      if (architecture.starts_with("Qwen3")) model.vector(Model::layer(i, name), 8);
  }
  return model;
}

std::string of_hugging_face(const std::string& architecture, const std::string& more) {
  Folder folder;
  const Model model = model_for(architecture);
  write_hf(folder.path, config_json(model, architecture, more), hf_tensors(model, "F32"));
  Options options = with_weights(Format::F32);
  options.name = "m";
  return metadata_of(converted(folder, folder.path, options));
}

TEST(fields_of_hugging_face) {
  const char* const BASE =
      "arch=transformer gate=silu name=m rope=half bos=1 context=16 dim=24 ffn_dim=42 head_dim=8 heads=3 kv_heads=1 "
      "layers=2 "
      "vocab=37 norm_eps=9.99999975e-06 stop=2,3, ";
  for (const char* architecture : {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "BitnetForCausalLM"})
    CHECK_EQ(of_hugging_face(architecture, ""), std::string(BASE));
  CHECK_EQ(difference(BASE, of_hugging_face("BitNetForCausalLM", "")), "gate=relu2");
  CHECK_EQ(difference(BASE, of_hugging_face("MistralForCausalLM", "")), "window=4096");
  const std::pair<const char*, const char*> rows[] = {
      {"", ""},
      {"\"rms_norm_eps\":1e-6", "norm_eps=9.99999997e-07"},
      {"\"rms_norm_eps\":1", "norm_eps=1"},
      {"\"final_norm_eps\":0.5", "final_norm_eps=0.5"},
      {"\"max_position_embeddings\":77", "context=77"},
      {"\"hidden_act\":\"relu2\"", "gate=relu2"},
      {"\"hidden_act\":\"swish\"", ""},
      {"\"bos_token_id\":5", "bos=5"},
      {"\"bos_token_id\":null", "-bos"},
      {"\"bos_token_id\":[7,1]", "bos=7"},
      {"\"eos_token_id\":0", "stop=0,"},
      {"\"eos_token_id\":null", "-stop"},
      {"\"eos_token_id\":[36,4]", "stop=36,4,"},
      {"\"rope_interleaved\":true", "rope=interleaved"},
      {"\"rope_theta\":500", ""},
      {"\"norms\":\"unit\"", "unit_norms=1"},
      {"\"norms\":\"rms\"", ""},
      {"\"rope_scaling\":{\"rope_type\":\"default\"}", ""},
      {"\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4}", ""},
      {"\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":4}", "context_limit=16"},
      {"\"rope_parameters\":{\"type\":\"dynamic\",\"factor\":4},\"max_position_embeddings\":20",
       "context=20 context_limit=20"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}", "rope_attention_scale=1.13862944"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":1}", ""},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"attention_factor\":0.5}", "rope_attention_scale=0.5"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":2,\"mscale_all_dim\":1}",
       "rope_attention_scale=1.12175119"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":2}", "rope_attention_scale=1.13862944"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"mscale_all_dim\":2}", "rope_attention_scale=1.13862944"},
      {"\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"mscale\":0.707,\"mscale_all_dim\":0.707}", ""},
      {"\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1,\"high_freq_factor\":4}", ""},
  };
  for (const auto& [field, expected] : rows) {
    const std::string more = *field ? std::string(",") + field : "";
    CHECK_EQ(field + (": " + difference(BASE, of_hugging_face("LlamaForCausalLM", more))),
             field + (": " + std::string(expected)));
  }
}

// The frequencies that a field gives, beside those without it.
TEST(fields_of_the_rotary_embedding) {
  auto frequencies = [](const std::string& more) {
    Folder folder;
    Shape shape;
    shape.head_dim = 16, shape.heads = 2;
    const Model model(Fill::random, false, false, shape);
    write_hf(folder.path, config_json(model, "LlamaForCausalLM", more), hf_tensors(model, "F32"));
    std::ostringstream out;
    out.precision(4);
    const ModelFile file = converted(folder, folder.path);
    for (float frequency : file.tensors.at("rope.inv_freq").values)
      out << frequency << " ";
    return out.str();
  };
  const std::string usual = "1 0.3162 0.1 0.03162 0.01 0.003162 0.001 0.0003162 ";
  const std::string of_100 = "1 0.5623 0.3162 0.1778 0.1 0.05623 0.03162 0.01778 ";
  const std::string halved = "0.5 0.1581 0.05 0.01581 0.005 0.001581 0.0005 0.0001581 ";
  CHECK_EQ(frequencies(""), usual);
  CHECK_EQ(frequencies(",\"rope_theta\":100"), of_100);
  CHECK_EQ(frequencies(",\"rope_parameters\":{\"rope_theta\":100}"), of_100);
  CHECK_EQ(frequencies(",\"rope_parameters\":{}"), usual);
  CHECK_EQ(frequencies(",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2}"), halved);
  CHECK_EQ(frequencies(",\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}"), halved);
  CHECK_EQ(frequencies(",\"rope_scaling\":{},\"rope_parameters\":{\"type\":\"linear\",\"factor\":2}"), halved);
  CHECK_EQ(frequencies(",\"rope_scaling\":null,\"rope_parameters\":{\"type\":\"linear\",\"factor\":2}"), halved);
  CHECK_EQ(frequencies(",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}"), usual);
  // As transformers: 64 positions or those of "original_max_position_embeddings", wherever it stands; truncate defaults to none.
  const std::string yarn = ",\"max_position_embeddings\":64,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4";
  const std::string of_64 = "1 0.1986 0.0256 0.007906 0.0025 0.0007906 0.00025 7.906e-05 ";
  CHECK_EQ(frequencies(yarn + ",\"truncate\":false}"), of_64);
  CHECK_EQ(frequencies(yarn + ",\"truncate\":true}"), "1 0.2372 0.05 0.007906 0.0025 0.0007906 0.00025 7.906e-05 ");
  const std::string longer =
      ",\"max_position_embeddings\":256,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4,\"truncate\":false";
  CHECK_EQ(frequencies(longer + ",\"original_max_position_embeddings\":64}"), of_64);
  CHECK_EQ(frequencies(longer + "},\"original_max_position_embeddings\":64"), of_64);
  CHECK_EQ(frequencies(longer + ",\"original_max_position_embeddings\":512},\"original_max_position_embeddings\":64"),
           of_64);
  CHECK(frequencies(longer + "}") != of_64);
  CHECK_EQ(frequencies(longer + ",\"original_max_position_embeddings\":64,\"beta_fast\":32,\"beta_slow\":1}"), of_64);
  CHECK_EQ(frequencies(longer + ",\"original_max_position_embeddings\":64,\"beta_fast\":0,\"beta_slow\":0}"), of_64);
  CHECK(frequencies(longer + ",\"original_max_position_embeddings\":64,\"beta_fast\":8}") != of_64);
  CHECK(frequencies(longer + ",\"original_max_position_embeddings\":64,\"beta_slow\":2}") != of_64);
}

TEST(fields_of_gguf) {
  const Model model(Fill::random, false, true);
  auto of = [&](const std::string& architecture, auto change) {
    Folder folder;
    sources::Gguf gguf = gguf_of(model, architecture);
    change(&gguf);
    write_file(folder / "model.gguf", gguf.bytes());
    Options options = with_weights(Format::F32);
    options.name = "m";
    return metadata_of(converted(folder, folder / "model.gguf", options));
  };
  using G = sources::Gguf*;
  const std::string base = of("llama", [](G) {});
  CHECK_EQ(base,
           "arch=transformer gate=silu name=m rope=half context=16 dim=24 ffn_dim=42 head_dim=8 heads=3 kv_heads=1 layers=2 "
           "vocab=37 norm_eps=9.99999975e-06 ");
  auto change = [&](auto by) { return difference(base, of("llama", by)); };
  CHECK_EQ(change([](G g) { g->number("tokenizer.ggml.bos_token_id", 5); }), "bos=5");
  CHECK_EQ(change([](G g) { g->number("tokenizer.ggml.bos_token_id", 37); }), "");
  CHECK_EQ(change([](G g) { g->number("tokenizer.ggml.eos_token_id", 4); }), "stop=4,");
  CHECK_EQ(change([](G g) { g->number("tokenizer.ggml.eos_token_id", 36).number("tokenizer.ggml.eot_token_id", 2); }),
           "stop=36,2,");
  CHECK_EQ(change([](G g) { g->number("tokenizer.ggml.eos_token_id", 4).number("tokenizer.ggml.eot_token_id", 4); }),
           "stop=4,");
  CHECK_EQ(change([](G g) { g->number("llama.attention.sliding_window", 9); }), "window=9");
  CHECK_EQ(change([](G g) { g->real("llama.rope.freq_base", 100); }), "");
  auto yarn = [](float own, const char* key) {
    return [=](G g) {
      g->text("llama.rope.scaling.type", "yarn").real("llama.rope.scaling.factor", 4);
      if (own > 0) g->real(key, own);
    };
  };
  CHECK_EQ(change(yarn(0, "")), "rope_attention_scale=1.13862944");
  CHECK_EQ(change(yarn(2, "llama.rope.scaling.attn_factor")), "rope_attention_scale=2.27725887");
  CHECK_EQ(change(yarn(0.5, "llama.rope.scaling.yarn_attn_factor")), "rope_attention_scale=0.569314718");
  auto without = [&](const char* key) {
    Model small(Fill::random, false, true);
    return change([&](G g) {
      sources::Gguf out = *g;
      out.metadata = {}, out.entries = 0;
      out.text("general.architecture", "llama");
      const std::pair<const char*, uint32_t> sizes[] = {
          {"block_count", 2},          {"embedding_length", 24},       {"feed_forward_length", 42},
          {"attention.head_count", 3}, {"attention.head_count_kv", 1}, {"attention.key_length", 8},
          {"context_length", 16}};
      for (const auto& [name, value] : sizes)
        if (std::string(name) != key) out.number(std::string("llama.") + name, value);
      if (std::string(key) != "eps") out.real("llama.attention.layer_norm_rms_epsilon", 1e-5f);
      *g = out;
    });
  };
  CHECK_EQ(without("context_length"), "context=2048");
  CHECK_EQ(without("attention.key_length"), "");  // 24 / 3
  CHECK_EQ(without("eps"), "");
  CHECK_EQ(change([](G g) { g->number("llama.attention.value_length", 8); }), "");
}

TEST(golden_models_of_other_families) {
  const std::pair<const char*, const char*> rows[] = {
      {"recurrent/mamba",
       "arch=mamba name=m context=2048 dim=37 inner=74 layers=3 rank=3 states=5 taps=4 vocab=61 norm_eps=9.99999975e-06 "
       "stop=0, "},
      {"recurrent/mamba2",
       "arch=mamba2 name=m context=2048 dim=36 groups=2 head_dim=12 heads=6 layers=3 states=9 taps=4 vocab=61 "
       "norm_eps=9.99999975e-06 stop=0, "},
      {"recurrent/mamba2_bounds",
       "arch=mamba2 name=m context=2048 dim=16 groups=2 head_dim=8 heads=4 layers=3 states=7 taps=4 vocab=31 "
       "dt_max=0.100000001 dt_min=0.00999999978 norm_eps=9.99999975e-06 stop=0, "},
      {"recurrent/mamba2_limits",
       "arch=mamba2 name=m context=2048 dim=24 groups=2 head_dim=12 heads=4 layers=2 states=8 taps=4 vocab=45 "
       "dt_max=0.100000001 dt_min=0.0199999996 norm_eps=9.99999975e-06 stop=0, "},
      {"recurrent/mamba2_upper",
       "arch=mamba2 name=m context=2048 dim=16 groups=2 head_dim=8 heads=4 layers=3 states=7 taps=4 vocab=31 "
       "dt_max=0.100000001 norm_eps=9.99999975e-06 stop=0, "},
      {"recurrent/retnet",
       "arch=retnet name=m context=2048 dim=24 ffn_dim=35 heads=3 layers=3 value_dim=42 vocab=61 norm_eps=9.99999997e-07 "},
      {"recurrent/retnet_tied",
       "arch=retnet name=m context=2048 dim=20 ffn_dim=31 heads=2 layers=2 value_dim=26 vocab=45 norm_eps=9.99999975e-06 "},
      {"recurrent/rwkv4",
       "arch=rwkv4 name=m att_dim=36 context=96 dim=36 ffn_dim=75 layers=3 vocab=61 norm_eps=9.99999975e-06 "},
      {"gguf/phi2.gguf",
       "arch=transformer gate=gelu name=m norm=layer rope=half bos=1 context=256 dim=48 ffn_dim=72 head_dim=12 heads=4 "
       "kv_heads=4 layers=2 parallel=1 vocab=61 norm_eps=9.99999975e-06 stop=2, "},
      {"gguf/bitnet.gguf",
       "arch=transformer gate=relu2 name=m rope=half bos=1 context=256 dim=256 ffn_dim=256 head_dim=64 heads=4 kv_heads=2 "
       "layers=1 vocab=37 norm_eps=9.99999975e-06 stop=2, "},
      {"gguf/llama.gguf",
       "arch=transformer gate=silu name=m rope=half bos=1 context=256 dim=40 ffn_dim=72 head_dim=10 heads=4 kv_heads=2 "
       "layers=2 vocab=61 norm_eps=9.99999975e-06 stop=2, "},
      {"gguf/llama_untied.gguf",
       "arch=transformer gate=silu name=m rope=half bos=1 context=256 dim=40 ffn_dim=72 head_dim=14 heads=4 kv_heads=2 "
       "layers=2 vocab=61 norm_eps=9.99999975e-06 stop=2, "},
      {"gguf/qwen2.gguf",
       "arch=transformer gate=silu name=m rope=half bos=1 context=256 dim=40 ffn_dim=72 head_dim=10 heads=4 kv_heads=2 "
       "layers=2 vocab=61 norm_eps=9.99999975e-06 rope_attention_scale=1.13862944 stop=2, "},
  };
  for (const auto& [source, expected] : rows) {
    Folder folder;
    Options options = with_weights(Format::F32);
    options.name = "m";
    CHECK_EQ(metadata_of(converted(folder, std::string("tests/golden/") + source, options)), std::string(expected));
  }
}

}  // namespace
