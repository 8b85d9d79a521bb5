// The converter's memory does not grow with the model: a folder with many more layers than another takes no more of it.
#include <sys/resource.h>

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

// Kilobytes that the process holds at most.
long peak_of(int layers) {
  Folder folder;
  check::in_child([&] {
    write_folder(folder, layers);
    return 0;
  });
  check::Child child = check::in_child([&] {
    Options options;
    options.source = folder.path;
    options.destination = folder / "out.tm2";
    std::ostringstream report;
    edgellm::convert::convert(options, report, false);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    std::printf("%ld\n", usage.ru_maxrss);
    std::fflush(stdout);
    return 0;
  });
  CHECK_EQ(child.exit_code, 0);
  return std::atol(child.output.c_str());
}

TEST(memory_does_not_grow_with_the_layers) {
  if (std::string(std::getenv("EDGELLM_MODE") ? std::getenv("EDGELLM_MODE") : "release") != "release") {
    SKIP("a sanitizer's memory grows by itself");
  }
  const long few = peak_of(3), many = peak_of(24);  // 24 MB and 190 MB of weights
  std::printf("3 layers: %ld KB, 24 layers: %ld KB\n", few, many);
  CHECK(few > 0);
  CHECK(many < few + 48 * 1024);
}

}  // namespace
