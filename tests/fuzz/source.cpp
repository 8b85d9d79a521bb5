// Any bytes as a source; what is opened is read to the last weight. The first byte says which:
//   f  the rest is a file: llama2.c, TM2 version 1, TMAC, or RWKV as a zip archive or in safetensors
//   m  a folder: up to a zero byte config.json (none if empty), then the weights
//   a  an adapter of a small model: likewise adapter_config.json and its weights
#include <algorithm>

#include "convert/base/mapped_file.h"
#include "convert/change/lora.h"
#include "convert/family/open.h"
#include "convert_sources.h"
#include "reading.h"

using namespace edgellm;

static bool is_zip(const std::string& bytes) {
  return bytes.starts_with("PK");
}

static void write_folder(const std::string& folder, const std::string& config_name, const std::string& weights_name,
                         const std::string& bytes) {
  const size_t zero = std::min(bytes.find('\0'), bytes.size());
  const std::string config = bytes.substr(0, zero), weights = bytes.substr(std::min(zero + 1, bytes.size()));
  std::filesystem::create_directory(folder);
  if (!config.empty()) write_file(folder + "/" + config_name, config);
  write_file(folder + "/" + weights_name + (is_zip(weights) ? ".bin" : ".safetensors"), weights);
}

static convert::Model small_model(const Folder& folder) {
  static const std::string path = [&] {
    const sources::Model model(sources::Fill::random, false, false, {1, 8, 6, 2, 1, 4, 5, 2});
    std::filesystem::create_directory(folder / "base");
    sources::write_hf(folder / "base", sources::config_json(model, "LlamaForCausalLM"), sources::hf_tensors(model, "F16"));
    return folder / "base";
  }();
  return convert::open_source(convert::Source(path));
}

static convert::Model open(const Folder& folder, char kind, const std::string& bytes) {
  if (kind == 'a') {
    convert::Model model = small_model(folder);
    write_folder(folder / "source", "adapter_config.json", "adapter_model", bytes);
    convert::merge_adapter(folder / "source", &model);
    return model;
  }
  if (kind == 'm') {
    const bool zip = is_zip(bytes.substr(std::min(bytes.find('\0'), bytes.size() - 1) + 1));
    write_folder(folder / "source", "config.json", zip ? "pytorch_model" : "model", bytes);
    return convert::open_source(convert::Source(folder / "source"));
  }
  const bool safetensors = bytes.size() > 8 && bytes[8] == '{';
  const std::string path = folder / (safetensors ? "source.safetensors" : "source");
  write_file(path, bytes);
  return convert::open_source(convert::Source(path));
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static const Folder folder;  // removed at exit
  try {
    read(open(folder, static_cast<char>(data[0]), std::string(reinterpret_cast<const char*>(data + 1), size - 1)));
  } catch (const convert::Error&) {
  }
  convert::forget_opened();
  std::filesystem::remove_all(folder / "source");
  std::filesystem::remove(folder / "source.safetensors");
  return 0;
}
