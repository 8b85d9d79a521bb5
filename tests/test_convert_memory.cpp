// The converter's memory does not grow with the model: a folder with many more layers than another takes no more of it. Nor does
// it with what a small file says of itself.
#include <sys/resource.h>

#include <algorithm>
#include <functional>

#include "child.h"
#include "convert_checks.h"

using namespace convert_checks;

namespace {

constexpr int DIM = 512, FFN = 1024;

// One layer is 8 MB of f32 in a shard of its own. Values repeat after a prime number, so that no two rows are alike.
void write_folder(const Folder& folder, int layers) {
  Model shape(Fill::random, false, false, {1, 8, 8, 2, 1, 4, 64, 16});
  shape.shape = {layers, DIM, FFN, 8, 8, 64, 64, 16};
  write_file(folder / "config.json", config_json(shape, "LlamaForCausalLM"));
  Values values(size_t{DIM} * FFN);
  for (size_t i = 0; i < values.size(); i++)
    values[i] = static_cast<float>(i % 251) / 125 - 1;
  const std::string bytes = bytes_as("F32", values);
  auto tensor = [&](size_t rows, size_t cols) {
    return HfTensor{"F32", rows ? std::vector<size_t>{rows, cols} : std::vector<size_t>{cols},
                    bytes.substr(0, std::max<size_t>(rows, 1) * cols * 4)};
  };
  std::string map;
  auto write_shard = [&](const std::string& name, const HfTensors& tensors) {
    write_file(folder / name, safetensors(tensors));
    for (const auto& one : tensors)
      map += (map.empty() ? "\"" : ",\"") + one.first + "\":\"" + name + "\"";
  };
  for (int layer = 0; layer < layers; layer++) {
    HfTensors tensors;
    for (const char* name : {"q", "k", "v", "o"})
      tensors[hf_name(Model::layer(layer, name))] = tensor(DIM, DIM);
    for (const char* name : {"gate", "up"})
      tensors[hf_name(Model::layer(layer, name))] = tensor(FFN, DIM);
    tensors[hf_name(Model::layer(layer, "down"))] = tensor(DIM, FFN);
    for (const char* name : {"attn_norm", "ffn_norm"})
      tensors[hf_name(Model::layer(layer, name))] = tensor(0, DIM);
    write_shard("layer" + std::to_string(layer) + ".safetensors", tensors);
  }
  write_shard("outer.safetensors", {{hf_name("embed"), tensor(64, DIM)}, {hf_name("norm"), tensor(0, DIM)}});
  write_file(folder / "model.safetensors.index.json", "{\"weight_map\":{" + map + "}}");
}

// Kilobytes that the process holds at most, whatever becomes of the conversion.
long peak_of_converting(const Folder& folder, const std::string& source, int* exit_code) {
  check::Child child = check::in_child([&] {
    Options options;
    options.source = source;
    options.destination = folder / "out.tm2";
    std::ostringstream report;
    int code = 0;
    try {
      edgellm::convert::convert(options, report, false);
    } catch (const Error& error) {
      code = static_cast<int>(error.code);
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%ld\n", usage.ru_maxrss);
    std::fflush(stdout);
    return code;
  });
  *exit_code = child.exit_code;
  return std::atol(child.output.c_str());
}

long peak_of(int layers) {
  Folder folder;
  check::in_child([&] {
    write_folder(folder, layers);
    return 0;
  });
  int exit_code = -1;
  const long peak = peak_of_converting(folder, folder.path, &exit_code);
  CHECK_EQ(exit_code, 0);
  return peak;
}

bool is_release() {
  return std::string(std::getenv("EDGELLM_MODE") ? std::getenv("EDGELLM_MODE") : "release") == "release";
}

TEST(memory_does_not_grow_with_the_layers) {
  if (!is_release()) SKIP("a sanitizer's memory grows by itself");
  const long few = peak_of(3), many = peak_of(24);  // 24 MB and 190 MB of weights
  std::printf("3 layers: %ld KB, 24 layers: %ld KB\n", few, many);
  CHECK(few > 0);
  CHECK(many < few + 48 * 1024);
}

// Files of a few kilobytes that say they are large, or that grow when they are read.
TEST(a_small_source_takes_little_memory) {
  if (!is_release()) SKIP("a sanitizer's memory grows by itself");
  const Model small(Fill::random, false, true, {1, 8, 8, 2, 1, 4, 64, 16});
  const std::string llama = config_json(small, "LlamaForCausalLM");
  auto folder_of = [](const Folder& folder, const std::string& config, const std::string& name, const std::string& bytes) {
    write_file(folder / "config.json", config);
    write_file(folder / name, bytes);
    return folder.path;
  };
  auto pickle = [&](const std::string& program) { return zip({{"m/data.pkl", program}}); };
  auto repeated = [](size_t count, const std::string& what) {
    std::string out;
    for (size_t i = 0; i < count; i++)
      out += what;
    return out;
  };
  const std::string zero(1, '\0'), one(1, '\1');
  const std::string recall = "h" + zero, weights = "pytorch_model.bin";
  HfTensors vast;
  for (const char* name : {"emb.weight", "head.weight", "blocks.0.ln0.weight", "blocks.0.att.r_k", "blocks.0.att.w1"})
    vast[name] = {"I64", {1 << 24, 1 << 24}, ""};
  auto with_tokenizer = [&](const Folder& folder, const std::string& name, const std::string& bytes) {
    write_file(folder / name, bytes);
    return folder_of(folder, llama, "model.safetensors", safetensors(hf_tensors(small, "F16")));
  };
  const std::string growing = R"({% set n = namespace(s='abcd', l=[]) %}{% for i in range(14) %}{% set n.s = n.s ~ n.s %})"
                              R"({% endfor %}{% for i in range(4000) %}{% set x = n.l.append(n.s ~ '') %}{% endfor %})";
  const std::string tokens =
      R"({"model":{"type":"BPE","unk_token":"?","ignore_merges":true,"merges":[],"vocab":{"?":0,"a":2,"b":3)";

  const long usual = [] {
    Folder folder;
    int code;
    write_file(folder / "model.bin", llama2c_legacy(Model(Fill::random, false, true, {1, 8, 8, 2, 1, 4, 64, 16})));
    const long peak = peak_of_converting(folder, folder / "model.bin", &code);
    CHECK_EQ(code, 0);
    return peak;
  }();
  CHECK(usual > 0);
  const struct {
    const char* name;
    std::function<std::string(const Folder&)> make;
    int code = static_cast<int>(Code::bad_model);
  } sources[] = {
      {"a header of 2^63 bytes",
       [&](const Folder& f) { return folder_of(f, llama, "model.safetensors", Bytes().put(~uint64_t{0} >> 1).data); }},
      {"layers without end",
       [&](const Folder& f) {
         const char* config = R"({"model_type":"retnet","decoder_layers":16777216,"decoder_embed_dim":8,"vocab_size":5,)"
                              R"("decoder_value_embed_dim":8,"decoder_ffn_embed_dim":8,"decoder_retention_heads":1})";
         return folder_of(f, config, "model.safetensors", safetensors({}));
       }},
      {"tensors without data",
       [&](const Folder& f) {
         write_file(f / "model.safetensors", safetensors(vast));
         return f / "model.safetensors";
       }},
      {"a name that doubles",
       [&](const Folder& f) {
         const std::string program = pickled_text("xxxxxxxx") + "q" + zero;
         return folder_of(f, llama, weights, pickle(program + repeated(40, recall + recall + "\x93q" + zero) + "."));
       }},
      {"storages with long names",
       [&](const Folder& f) {
         const std::string name = "(" + repeated(5, pickled_text(std::string(20000, 'x'))) + "tq" + zero;
         return folder_of(f, llama, weights, pickle(name + repeated(20000, recall + "Q") + "."));
       }},
      {"tensors with long lists",
       [&](const Folder& f) {
         const std::string call = "ctorch._utils\n_rebuild_tensor_v2\nq" + one;
         const std::string list = call + "(" + std::string(40000, 'N') + "tq" + zero;
         return folder_of(f, llama, weights, pickle(list + repeated(10000, "h" + one + recall + "R") + "."));
       }},
      {"tokens that are the same",
       [&](const Folder& f) {
         return with_tokenizer(f, "tokenizer.json", [&] {
           std::string all = tokens;
           for (int i = 0; i < 100; i++)
             all += ",\"" + std::string(static_cast<size_t>(i), ' ') + "\":1";
           return all + "}}}";
         }());
       },
       0},
      {"a token of a large id",
       [&](const Folder& f) { return with_tokenizer(f, "tokenizer.json", tokens + ",\"x\":2097152}}}"); }},
      {"a template that grows",
       [&](const Folder& f) {
         write_file(f / "chat_template.jinja", growing);
         return with_tokenizer(f, "tokenizer.json", tokens + "}}}");
       },
       0},
  };
  for (const auto& source : sources) {
    Folder folder;
    int code = -1;
    const long peak = peak_of_converting(folder, source.make(folder), &code);
    std::printf("%s: %ld KB, usual: %ld KB\n", source.name, peak, usual);
    if (code == source.code && peak < usual + 64 * 1024) {
      check::passed();
    } else {
      check::failed(__FILE__, __LINE__, std::string(source.name) + ": exit code " + std::to_string(code));
    }
  }
}

}  // namespace
