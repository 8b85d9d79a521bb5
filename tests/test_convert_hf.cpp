// Tiny Hugging Face folders, converted and read back by a second reader: dtypes, shards, packed and float ternary weights,
// rotary scaling, and configurations that must be refused.
#include "convert_checks.h"

using namespace convert_checks;

namespace {

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

TEST(torch_weights) {
  for (const char* dtype : {"F32", "F16", "BF16"}) {
    Folder folder;
    Model model(Fill::random, false, true);
    for (auto& [name, tensor] : model.tensors) {
      for (float& value : tensor.values)
        value = std::round(value * 64) / 64;
    }
    const std::string config = config_json(model, "LlamaForCausalLM");
    write_file(folder / "config.json", config);
    write_file(folder / "pytorch_model.bin", torch_save(hf_tensors(model, dtype)));
    check_exact(converted(folder, folder.path, with_weights(Format::F32)), model);
    std::filesystem::remove(folder / "pytorch_model.bin");
    write_sharded(folder.path, config, hf_tensors(model, dtype), true);
    check_exact(converted(folder, folder.path, with_weights(Format::F32)), model);
  }
}

TEST(packed_torch_weights) {
  Folder folder;
  Model model(Fill::ternary_tensor, true);
  const std::string quantized = ",\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"autobitlinear\"}";
  write_file(folder / "config.json", config_json(model, "BitNetForCausalLM", quantized));
  write_file(folder / "pytorch_model.bin", torch_save(packed_tensors(model, false)));
  ModelFile file = converted(folder, folder.path);
  check_form(file, "layers.0.q", T2, TENSOR, TOKEN);
  CHECK(file.tensors.at("layers.1.down").values == model.of("layers.1.down"));
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

// As Ternary-Bonsai is: embedding and head ternary too, an f16 scale for 128 weights.
TEST(ternary_embedding_and_head_stay_exact) {
  Folder folder;
  Shape shape{1, 264, 300, 3, 1, 88, 37, 16};
  Model model(Fill::ternary_group, false, false, shape);
  model.matrix("embed", 37, 264, Fill::ternary_group);
  model.matrix("head", 37, 264, Fill::ternary_group);
  write_hf(folder.path, config_json(model, "Qwen3ForCausalLM"), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  for (const auto& [name, tensor] : model.tensors) {
    if (tensor.rows) check_form(file, name, T2_GROUP, NONE, GROUP32);
  }
  check_exact(file, model);
}

// Python writes numbers that JSON has not; ids that end a text come from both files.
TEST(infinity_and_generation_config) {
  Folder folder;
  Model model;
  const char* more = ",\"x\":[Infinity,-Infinity,NaN]";
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", more), hf_tensors(model, "F32"));
  write_file(folder / "generation_config.json", "{\"eos_token_id\":[5,3,7]}");
  ModelFile file = converted(folder, folder.path);
  CHECK((file.lists.at("stop") == std::vector<uint32_t>{2, 3, 5, 7}));
}

// Ids that no file gives a text are the model's all the same; others are refused by name.
TEST(ids_beyond_the_tokenizer) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  write_file(folder / "tokenizer.json",
             R"({"model":{"type":"BPE","unk_token":"a","vocab":{"a":0,"b":1},"merges":[]},"added_tokens":[]})");
  write_file(folder / "generation_config.json", "{\"eos_token_id\":36}");
  CHECK((converted(folder, folder.path).lists.at("stop") == std::vector<uint32_t>{2, 3, 36}));
  std::filesystem::remove(folder / "out.tm2");
  write_file(folder / "generation_config.json", "{\"eos_token_id\":[36,37]}");
  CHECK(contains(failure(folder, folder.path), "generation_config.json: eos_token_id 37, the model has 37 ids"));
  write_file(folder / "generation_config.json", "{\"bos_token_id\":40}");
  CHECK(contains(failure(folder, folder.path), "generation_config.json: bos_token_id 40, the model has 37 ids"));
}

TEST(ids_that_end_a_text_of_recurrent_models) {
  for (const char* name : {"mamba", "retnet"}) {
    Folder folder;
    const std::string golden = std::string("tests/golden/recurrent/") + name, config = read_file(golden + "/config.json");
    std::filesystem::copy(golden, folder / "model");
    auto write_config = [&](const std::string& ids) {
      write_file(folder / "model/config.json", config.substr(0, config.rfind('}')) + ",\"eos_token_id\":" + ids + "}");
    };
    write_config("[3,0,3]");
    CHECK((converted(folder, folder / "model").lists.at("stop") == std::vector<uint32_t>{3, 0}));
    write_config("4");
    CHECK((converted(folder, folder / "model").lists.at("stop") == std::vector<uint32_t>{4}));
    write_config("-1");
    CHECK(!converted(folder, folder / "model").lists.contains("stop"));
    std::filesystem::remove(folder / "out.tm2");
    write_config("\"x\"");
    CHECK(contains(failure(folder, folder / "model"), "eos_token_id is not a token id or a list of them"));
    write_config("[3,9999]");
    CHECK(contains(failure(folder, folder / "model"), "config.json: eos_token_id 9999, the model has "));
  }
}

TEST(sliding_windows) {
  const struct {
    const char *architecture, *more;
    uint32_t window, context;
  } cases[] = {{"MistralForCausalLM", ",\"sliding_window\":9", 9, 16},
               {"MistralForCausalLM", ",\"sliding_window\":16", 0, 16},
               {"MistralForCausalLM", ",\"sliding_window\":null", 0, 16},
               {"Qwen2ForCausalLM", ",\"sliding_window\":9,\"use_sliding_window\":false", 0, 16},
               {"Qwen2ForCausalLM", ",\"sliding_window\":9,\"use_sliding_window\":true,\"max_window_layers\":2", 0, 16},
               {"Qwen2ForCausalLM", ",\"sliding_window\":9,\"use_sliding_window\":true,\"max_window_layers\":1", 0, 9},
               {"Qwen3ForCausalLM", ",\"sliding_window\":9,\"use_sliding_window\":true,\"max_window_layers\":0", 9, 16}};
  for (const auto& c : cases) {
    Folder folder;
    Model model;
    write_hf(folder.path, config_json(model, c.architecture, c.more), hf_tensors(model, "F32"));
    ModelFile file = converted(folder, folder.path);
    CHECK_EQ(file.numbers.contains("window") ? file.numbers.at("window") : 0u, c.window);
    CHECK_EQ(file.numbers.at("context"), c.context);
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

TEST(bitnet_modules_that_stay_floats) {
  Folder folder;
  const Model model(Fill::random, true), ternary(Fill::ternary_tensor, true);
  auto config = [&](const std::string& names) {
    return config_json(model, "BitNetForCausalLM",
                       R"(,"quantization_config":{"quant_method":"bitnet","modules_to_not_convert":)" + names + "}");
  };
  write_hf(folder.path, config(R"(["down_proj","model.layers.1.self_attn","lm_head"])"), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  for (const char* name : {"layers.0.down", "layers.1.down", "layers.1.q", "layers.1.o"}) {
    check_form(file, name, I4, NONE, GROUP32);
    CHECK(relative_error(file.tensors.at(name).values, model.of(name)) < 0.12);
  }
  for (const char* name : {"layers.0.q", "layers.1.up"})
    check_form(file, name, T2, TENSOR, TOKEN);
  write_hf(folder.path, config(R"(["mlp"])"), packed_tensors(ternary, false));
  check_form(converted(folder, folder.path), "layers.0.up", T2, TENSOR, TOKEN);  // no module begins or ends so
  std::filesystem::remove(folder / "out.tm2");
  write_hf(folder.path, config(R"(["up_proj"])"), packed_tensors(ternary, false));
  CHECK(contains(failure(folder, folder.path), "mlp.up_proj.weight is packed, modules_to_not_convert says that it is not"));
  for (const char* names : {"\"mlp\"", "[3]", "[\"\"]", "[\"layers.*\"]"}) {
    write_hf(folder.path, config(names), hf_tensors(model, "F32"));
    CHECK(contains(failure(folder, folder.path), "modules_to_not_convert"));
  }
}

TEST(t5_holds_the_weights_of_t2) {
  Folder folder;
  Model model(Fill::random, true);
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), hf_tensors(model, "F32"));
  ModelFile t2 = converted(folder, folder.path), t5 = converted(folder, folder.path, with_weights(Format::T5));
  for (const auto& [name, tensor] : model.tensors) {
    if (!is_layer_matrix(name, tensor)) continue;
    check_form(t5, name, T5, TENSOR, TOKEN);
    CHECK(t5.tensors.at(name).values == t2.tensors.at(name).values);
  }
  Model other(Fill::ternary_row);  // one scale a token was not in its training
  write_hf(folder.path, config_json(other, "LlamaForCausalLM"), hf_tensors(other, "F32"));
  check_form(converted(folder, folder.path, with_weights(Format::T5)), "layers.0.q", T2, ROW, GROUP32);
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
      {"\"rms_norm_eps\":1e-5", "\"rms_norm_eps\":NaN", "norm epsilon is nan"},
      {"\"hidden_size\":24", "\"hidden_size\":Infinity", "\"hidden_size\" is not a whole number"},
      {"\"head_dim\":8", "\"head_dim\":8,\"x\":Inf", "expected a value"},
      {"\"head_dim\":8", "\"head_dim\":8,\"partial_rotary_factor\":1e300", "\"partial_rotary_factor\" is 1e+300"},
      {"\"head_dim\":8", "\"head_dim\":8,\"qk_layernorm\":true", "\"qk_layernorm\""},
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

}  // namespace
