// Tiny Hugging Face folders, converted and read back by a second reader: dtypes, shards, packed and float ternary weights,
// rotary scaling, and configurations that must be refused.
#include "convert_checks.h"

using namespace convert_checks;

namespace {

// With the tensors that transformers' class has beside the usual ones.
Model model_for(const std::string& architecture) {
  Model model;
  for (int i = 0; i < model.shape.layers; i++) {
    if (architecture == "Qwen2ForCausalLM") {
      model.vector(Model::layer(i, "q_bias"), 24);
      model.vector(Model::layer(i, "k_bias"), 8);
      model.vector(Model::layer(i, "v_bias"), 8);
    }
    if (architecture == "Qwen3ForCausalLM") {
      for (const char* name : {"q_norm", "k_norm"})
        model.vector(Model::layer(i, name), 8);
    }
  }
  return model;
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
    model.vector(Model::layer(i, "o_bias"), 24);
  }
  write_sharded(folder.path, config_json(model, "Qwen3ForCausalLM", ",\"attention_bias\":true"), hf_tensors(model, "F32"));
  check_exact(converted(folder, folder.path, with_weights(Format::F32)), model);
  std::filesystem::remove(folder / "shard1.safetensors");
  std::filesystem::remove(folder / "out.tm2");
  CHECK(
      contains(failure(folder, folder.path), "of the 2 files that it names 1 is missing: shard1.safetensors: download it"));
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
    write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "BF16"));
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
  for (const char* name : {"q_norm", "k_norm"})
    model.vector(Model::layer(0, name), 88);
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

// A configuration that says what the tensors do not, or what is not supported.
TEST(recurrent_configurations_that_are_refused) {
  const struct {
    const char *model, *more, *message;
  } cases[] = {
      {"mamba", "\"state_size\":6", "\"state_size\" is 6, the tensors have 5"},
      {"mamba", "\"num_hidden_layers\":2", "\"num_hidden_layers\" is 2, the tensors have 3"},
      {"mamba", "\"vocab_size\":60", "the vocabulary is 60, the tensors have 61"},
      {"mamba", "\"time_step_rank\":4", "\"time_step_rank\" is 4, the tensors have 3"},
      {"mamba", "\"use_bias\":true", "\"use_bias\" is true, which is not supported"},
      {"mamba", "\"hidden_act\":\"gelu\"", "\"hidden_act\" is \"gelu\""},
      {"mamba", "\"quantization_config\":{\"quant_method\":\"bitnet\"}", "\"quantization_config\" is an object"},
      {"mamba_untied", "\"use_conv_bias\":true", "there is no tensor layers.0.mixer.conv1d.bias"},
      {"mamba2", "\"num_heads\":5", "\"num_heads\" is 5, the tensors have 6"},
      {"mamba2", "\"head_dim\":13", "\"head_dim\" is 13, the tensors have 12"},
      {"mamba2", "\"time_step_limit\":[0.1,0.01]", "\"time_step_limit\" is 0.1 to 0.01"},
      {"mamba2", "\"time_step_limit\":[0]", "\"time_step_limit\" is not two numbers"},
      {"mamba2", "\"time_step_limit\":null", "\"time_step_limit\" is not two numbers"},
      {"rwkv4", "\"layer_norm_epsilon\":1e-6", "\"layer_norm_epsilon\" is 1e-06"},
      {"rwkv4", "\"attention_hidden_size\":37", "\"attention_hidden_size\" is 37, the tensors have 36"},
      {"retnet", "\"activation_fn\":\"gelu\"", "\"activation_fn\" is \"gelu\""},
      {"retnet", "\"deepnorm\":true", "\"deepnorm\" is true"},
      {"retnet", "\"decoder_layers\":4",
       "no tensor model.layers.3.retention_layer_norm.weight, which RetNet has with this config.json"},
      {"retnet", "\"decoder_layers\":2", "is beyond layer 1, the last with this config.json"},
      {"retnet", "\"layernorm_embedding\":false",
       "model.safetensors: tensor model.layernorm_embedding.weight has no place in RetNet with this config.json"},
      {"retnet", "\"tie_word_embeddings\":true", "lm_head.weight differs from the embedding"},
  };
  for (const auto& c : cases) {
    Folder folder;
    const std::string golden = std::string("tests/golden/recurrent/") + c.model, config = read_file(golden + "/config.json");
    std::filesystem::copy(golden, folder / "model");
    write_file(folder / "model/config.json", config.substr(0, config.rfind('}')) + "," + c.more + "}");
    const std::string message = failure(folder, folder / "model");
    CHECK(contains(message, c.message));
    if (!contains(message, c.message)) CHECK_EQ(message, c.message);
  }
}

// Where the configuration says that there are none, those of all layers stay behind.
TEST(biases_of_convolutions_that_are_not_used) {
  Folder folder;
  std::filesystem::copy("tests/golden/recurrent/mamba", folder / "model");
  const Options options = with_weights(Format::F32);
  ModelFile with = converted(folder, folder / "model", options);
  std::string config = read_file("tests/golden/recurrent/mamba/config.json"), said;
  write_file(folder / "model/config.json", config.substr(0, config.rfind('}')) + R"(,"use_conv_bias":false})");
  const ModelFile without = converted(folder, folder / "model", options, &said);
  CHECK(contains(said, "note: the biases of the convolutions are left out: \"use_conv_bias\" is false"));
  const size_t biases = std::erase_if(
      with.tensors, [](const auto& tensor) { return contains(tensor.first, "conv") && contains(tensor.first, "bias"); });
  CHECK_EQ(biases, size_t{3});
  CHECK_EQ(without.tensors.size(), with.tensors.size());
  for (const auto& [name, tensor] : with.tensors)
    CHECK(without.tensors.at(name).values == tensor.values);
}

// The authors' configuration of Mamba says the same as that of transformers.
TEST(mamba_configurations_of_the_authors) {
  const struct {
    const char *model, *config, *refused;
  } cases[] = {
      {"mamba",
       R"({"d_model":37,"n_layer":3,"vocab_size":58,"pad_vocab_size_multiple":61,"ssm_cfg":{"d_state":5,"dt_rank":3}})",
       nullptr},
      {"mamba", R"({"d_model":37,"n_layer":3,"vocab_size":61,"pad_vocab_size_multiple":1,"ssm_cfg":{},"rms_norm":false})",
       "\"rms_norm\" is false"},
      {"mamba", R"({"d_model":37,"n_layer":3,"vocab_size":61,"ssm_cfg":{}})", "the vocabulary is 64, the tensors have 61"},
      {"mamba2_limits", R"({"d_model":24,"n_layer":2,"vocab_size":45,"pad_vocab_size_multiple":1,"tie_embeddings":false,
       "ssm_cfg":{"layer":"Mamba2","ngroups":2,"headdim":12,"dt_limit":[0.02,0.1]}})",
       nullptr},
      {"mamba2_limits", R"({"d_model":24,"n_layer":2,"vocab_size":45,"pad_vocab_size_multiple":1,"tie_embeddings":false,
       "ssm_cfg":{"layer":"Mamba2","ngroups":2,"norm_before_gate":true}})",
       "ssm_cfg: \"norm_before_gate\" is true"},
      {"mamba2_limits", R"({"d_model":24,"n_layer":2,"vocab_size":45,"pad_vocab_size_multiple":1,
       "ssm_cfg":{"layer":"Mamba2","ngroups":2}})",
       "\"tie_embeddings\" is true, but lm_head.weight differs"},
  };
  for (const auto& c : cases) {
    Folder folder;
    const std::string golden = std::string("tests/golden/recurrent/") + c.model;
    std::filesystem::copy(golden, folder / "model");
    const Options options = with_weights(Format::F32);
    const ModelFile theirs = converted(folder, folder / "model", options);
    write_file(folder / "model/config.json", c.config);
    if (c.refused) {
      std::filesystem::remove(folder / "out.tm2");
      CHECK(contains(failure(folder, folder / "model"), c.refused));
      continue;
    }
    const ModelFile ours = converted(folder, folder / "model", options);
    CHECK(ours.numbers == theirs.numbers && ours.reals == theirs.reals);
    for (const auto& [name, tensor] : theirs.tensors)
      CHECK(ours.tensors.at(name).values == tensor.values);
  }
}

// One number for all layers, or one for each; none without a window.
std::vector<uint32_t> windows_of(const ModelFile& file) {
  if (file.lists.contains("window")) return file.lists.at("window");
  return file.numbers.contains("window") ? std::vector<uint32_t>(1, file.numbers.at("window")) : std::vector<uint32_t>();
}

TEST(sliding_windows) {
  struct Case {
    std::string architecture, more;
    std::vector<uint32_t> windows;  // one for all, or one for each layer
  };
  const std::string used = ",\"use_sliding_window\":true,\"sliding_window\":9";
  const Case cases[] = {
      {"MistralForCausalLM", ",\"sliding_window\":9", {9}},
      {"MistralForCausalLM", ",\"sliding_window\":16", {16}},
      {"MistralForCausalLM", ",\"sliding_window\":null", {}},
      {"MistralForCausalLM", "", {4096}},
      {"MistralForCausalLM", ",\"sliding_window\":9,\"layer_types\":[\"sliding_attention\",\"sliding_attention\"]", {9}},
      {"Qwen2ForCausalLM", ",\"sliding_window\":9,\"use_sliding_window\":false", {}},
      {"Qwen2ForCausalLM", ",\"sliding_window\":9", {}},
      {"Qwen2ForCausalLM", used, {}},  // max_window_layers is 28
      {"Qwen2ForCausalLM", used + ",\"max_window_layers\":2", {}},
      {"Qwen2ForCausalLM", used + ",\"max_window_layers\":1", {0, 9}},
      {"Qwen2ForCausalLM", used + ",\"max_window_layers\":-1", {9}},
      {"Qwen2ForCausalLM", ",\"use_sliding_window\":true,\"max_window_layers\":0", {4096}},
      {"Qwen2ForCausalLM", ",\"use_sliding_window\":true,\"max_window_layers\":0,\"sliding_window\":null", {}},
      {"Qwen2ForCausalLM", ",\"use_sliding_window\":true,\"max_window_layers\":0,\"sliding_window\":1", {1}},
      {"Qwen3ForCausalLM", used + ",\"max_window_layers\":0", {9}},
      {"Qwen3ForCausalLM", used + ",\"layer_types\":[\"sliding_attention\",\"full_attention\"]", {9, 0}},
      {"LlamaForCausalLM", ",\"layer_types\":[\"full_attention\",\"full_attention\"]", {}}};
  for (const Case& c : cases) {
    Folder folder;
    const Model model = model_for(c.architecture);
    write_hf(folder.path, config_json(model, c.architecture, c.more), hf_tensors(model, "F32"));
    ModelFile file = converted(folder, folder.path);
    CHECK(windows_of(file) == c.windows);
    CHECK_EQ(file.numbers.at("context"), 16u);
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
  Model model(Fill::ternary_tensor, true);
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
  auto config = [&](const std::string& names, const char* mode) {
    return config_json(model, "BitNetForCausalLM",
                       std::string(R"(,"quantization_config":{"quant_method":"bitnet","linear_class":"autobitlinear",)") +
                           R"("quantization_mode":")" + mode + R"(","modules_to_not_convert":)" + names + "}");
  };
  write_hf(folder.path, config(R"(["down_proj","model.layers.1.self_attn","lm_head"])", "online"), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  for (const char* name : {"layers.0.down", "layers.1.down", "layers.1.q", "layers.1.o"}) {
    check_form(file, name, I4, NONE, GROUP32);
    CHECK(relative_error(file.tensors.at(name).values, model.of(name)) < 0.12);
  }
  for (const char* name : {"layers.0.q", "layers.1.up"})
    check_form(file, name, T2, TENSOR, TOKEN);
  write_hf(folder.path, config(R"(["mlp"])", "offline"), packed_tensors(ternary, false));
  check_form(converted(folder, folder.path), "layers.0.up", T2, TENSOR, TOKEN);  // no module begins or ends so
  std::filesystem::remove(folder / "out.tm2");
  write_hf(folder.path, config(R"(["up_proj"])", "offline"), packed_tensors(ternary, false));
  CHECK(contains(failure(folder, folder.path), "mlp.up_proj.weight is packed, modules_to_not_convert says that it is not"));
  write_hf(folder.path, config("null", "online"), packed_tensors(ternary, false));
  CHECK(contains(failure(folder, folder.path), "is packed, quantization_mode \"online\" wants master weights"));
  write_hf(folder.path, config("null", "offline"), hf_tensors(model, "F32"));
  CHECK(contains(failure(folder, folder.path), "is not ternary, which config.json says"));
  write_hf(folder.path, config(R"(["down_proj"])", "online"), hf_tensors(model, "F32"));
  CHECK(contains(failure(folder, folder.path), "modules_to_not_convert does not name lm_head"));
  for (const char* names : {"\"mlp\"", "[3]", "[\"\"]", "[\"layers.*\"]"}) {
    write_hf(folder.path, config(names, "online"), hf_tensors(model, "F32"));
    CHECK(contains(failure(folder, folder.path), "modules_to_not_convert"));
  }
}

// A folder whose configuration says nothing of ternary weights: what transformers computes are its floats.
TEST(bitnet_floats_that_no_configuration_quantises) {
  Folder folder;
  Model model(Fill::random, true);
  auto report_of = [&](Options options) {
    options.source = folder.path;
    options.destination = folder / "out.tm2";
    std::ostringstream report;
    edgellm::convert::convert(options, report, false);
    return report.str();
  };
  write_hf(folder.path, config_json(model, "BitNetForCausalLM"), hf_tensors(model, "F32"));
  for (Format format : {Format::F32, Format::I8}) {
    CHECK(!contains(report_of(with_weights(format)), "master weights"));
    ModelFile file = model_reader::read_model(folder / "out.tm2");
    for (const auto& [name, tensor] : model.tensors) {
      if (is_layer_matrix(name, tensor)) CHECK(relative_error(file.tensors.at(name).values, tensor.values) < 0.01);
    }
  }
  const std::string report = report_of({});
  CHECK(contains(report, "14 float matrices are taken for master weights") &&
        contains(report, "no quantization_config says"));
  check_form(model_reader::read_model(folder / "out.tm2"), "layers.0.q", T2, TENSOR, TOKEN);

  // Where it does, they are ternary in every format.
  const char* online =
      ",\"quantization_config\":{\"quant_method\":\"bitnet\",\"linear_class\":\"autobitlinear\","
      "\"quantization_mode\":\"online\"}";
  write_hf(folder.path, config_json(model, "BitNetForCausalLM", online), hf_tensors(model, "F32"));
  const std::string made = report_of(with_weights(Format::F32));
  CHECK(contains(made, "14 float matrices are taken for master weights") && !contains(made, "no quantization_config says"));
  const Values values = model_reader::read_model(folder / "out.tm2").tensors.at("layers.1.down").values;
  for (float value : values)
    CHECK(!(std::fabs(value) > 0) || !(std::fabs(value) < magnitude(values)));
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

// Only Phi's class rotates parts of heads.
TEST(partial_rotary) {
  Folder folder;
  Model model;
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", ",\"partial_rotary_factor\":0.5"), hf_tensors(model, "F32"));
  CHECK_EQ(converted(folder, folder.path).tensors.at("rope.inv_freq").values.size(), size_t{4});
}

// What transformers 5.24 does with a head beside an embedding (modeling_utils.py, tie_weights).
TEST(tied_heads) {
  const Model model(Fill::random, false, true);
  auto folder_with = [&](const Folder& folder, bool tied, bool embedding, bool head, bool equal) {
    HfTensors tensors = hf_tensors(model, "F32");
    if (equal) tensors.at("lm_head.weight").data = tensors.at("model.embed_tokens.weight").data;
    if (!embedding) tensors.erase("model.embed_tokens.weight");
    if (!head) tensors.erase("lm_head.weight");
    write_hf(folder.path, config_json(model, "LlamaForCausalLM", tied ? ",\"tie_word_embeddings\":true" : ""), tensors);
    return folder.path;
  };
  for (bool tied : {true, false}) {
    Folder folder;
    ModelFile file = converted(folder, folder_with(folder, tied, true, true, false), with_weights(Format::F32));
    CHECK(file.tensors.at("head").values == model.of("head") && file.tensors.at("embed").values == model.of("embed"));
    file = converted(folder, folder_with(folder, tied, true, true, true), with_weights(Format::F32));
    CHECK_EQ(file.tensors.contains("head"), !tied);
    if (!tied) CHECK(file.tensors.at("head").values == model.of("embed"));
  }
  Folder folder;
  CHECK(
      !converted(folder, folder_with(folder, true, true, false, false), with_weights(Format::F32)).tensors.contains("head"));
  ModelFile file = converted(folder, folder_with(folder, true, false, true, false), with_weights(Format::F32));
  CHECK(file.tensors.at("embed").values == model.of("head") && !file.tensors.contains("head"));
  std::filesystem::remove(folder / "out.tm2");
  CHECK(contains(failure(folder, folder_with(folder, false, true, false, false)),
                 "no tensor lm_head.weight, and tie_word_embeddings is not true"));
  CHECK(contains(failure(folder, folder_with(folder, false, false, true, false)), "no tensor model.embed_tokens.weight"));
}

// Tensors that the class does not have with this configuration, and ones that it has and the file does not.
TEST(tensors_that_a_configuration_switches) {
  Folder folder;
  Model model;
  model.vector("layers.1.o_bias", 24);
  write_hf(folder.path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  CHECK(!converted(folder, folder.path).tensors.contains("layers.1.o_bias"));
  std::filesystem::remove(folder / "out.tm2");
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", ",\"attention_bias\":true"), hf_tensors(model, "F32"));
  CHECK(contains(failure(folder, folder.path),
                 "no tensor model.layers.0.self_attn.q_proj.bias, which LlamaForCausalLM has with this config.json"));
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", ",\"mlp_bias\":true"), hf_tensors(model, "F32"));
  CHECK(contains(failure(folder, folder.path), "no tensor model.layers.0.mlp.gate_proj.bias"));
  write_hf(folder.path, config_json(model, "Qwen3ForCausalLM"), hf_tensors(model, "F32"));
  CHECK(contains(failure(folder, folder.path), "no tensor model.layers.0.self_attn.q_norm.weight"));
  const Model norms = model_for("Qwen3ForCausalLM");
  write_hf(folder.path, config_json(norms, "LlamaForCausalLM"), hf_tensors(norms, "F32"));
  const std::string message = failure(folder, folder.path);
  CHECK(contains(message,
                 "model.safetensors: tensor model.layers.0.self_attn.k_norm.weight has no place in LlamaForCausalLM"));
  CHECK(!contains(message, "beyond"));
}

// The older name of the key counts where both are there, with its own theta or the default.
TEST(dynamic_scaling_has_a_limit) {
  Folder folder;
  Model model;
  const char* both =
      ",\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":3.0,\"rope_theta\":7.0},"
      "\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2.0}";
  write_hf(folder.path, config_json(model, "LlamaForCausalLM", both), hf_tensors(model, "F32"));
  ModelFile file = converted(folder, folder.path);
  CHECK_EQ(file.numbers.at("context_limit"), 16u);
  CHECK_EQ(file.tensors.at("rope.inv_freq").values.at(1), 0.1f);  // 10000^(-1/4)
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
      {"\"num_hidden_layers\":2", "\"num_hidden_layers\":1", "is beyond layer 0, the last with this config.json"},
      {"\"num_hidden_layers\":2", "\"num_hidden_layers\":3",
       "no tensor model.layers.2.input_layernorm.weight, which LlamaForCausalLM has"},
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
      {"\"head_dim\":8", "\"head_dim\":8,\"is_causal\":false", "\"is_causal\" is false"},
      {"\"head_dim\":8", "\"head_dim\":8,\"per_layer_config\":{\"0\":{}}", "\"per_layer_config\" is an object"},
      {"\"head_dim\":8", "\"head_dim\":8,\"model_type\":\"qwen2\"", "\"model_type\" is \"qwen2\""},
      {"\"head_dim\":8", "\"head_dim\":8,\"sliding_window\":8", "\"sliding_window\" is 8"},
      {"\"head_dim\":8", "\"head_dim\":8,\"layer_types\":[\"full_attention\",\"sliding_attention\"]",
       "layer 1 is sliding_attention"},
      {"\"head_dim\":8", "\"head_dim\":8,\"layer_types\":[\"full_attention\"]", "\"layer_types\" is no list of 2"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_parameters\":{\"full_attention\":{}}", "for each kind of layer"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"proportional\"}", "\"proportional\" is not supported"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"linear\"}", "\"factor\" is missing"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"llama3\",\"factor\":2}",
       "\"low_freq_factor\" is missing"},
      {"\"head_dim\":8", "\"head_dim\":8,\"partial_rotary_factor\":0.5,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}",
       "does not have together with a rotary scaling"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"attention_factor\":0}",
       "\"attention_factor\" is 0"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"beta_fast\":NaN}",
       "\"beta_fast\" is nan"},
      {"\"head_dim\":8", "\"head_dim\":8,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,\"mscale\":-1}",
       "\"mscale\" is -1"},
      {"\"head_dim\":8", "\"head_dim\":8,\"norms\":\"odd\"", "\"norms\" is \"odd\""},
      {"\"architectures\":[\"LlamaForCausalLM\"]", "\"architectures\":[]", "\"architectures\" is missing"},
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
