// Sources that lie: every truncation is an error that leaves no file, every flipped byte an error or a whole file.
#include <sstream>

#include "check.h"
#include "convert/convert.h"
#include "convert/error.h"
#include "convert_sources.h"
#include "model_reader.h"

using namespace sources;
using edgellm::Code;
using edgellm::convert::Error;
using edgellm::convert::Options;

namespace {

constexpr Shape SMALL{1, 8, 6, 2, 1, 4, 5, 2};

// True when it converted. Errors must be about the source and leave nothing.
bool converts(const Folder& folder, const std::string& source) {
  Options options;
  options.source = source;
  options.destination = folder / "out.tm2";
  std::ostringstream report;
  try {
    edgellm::convert::convert(options, report, false);
  } catch (const Error& error) {
    if (error.code != Code::bad_model) check::failed(__FILE__, __LINE__, error.what());
    CHECK(!std::filesystem::exists(folder / "out.tm2"));
    CHECK(!std::filesystem::exists(folder / "out.tm2.partial"));
    return false;
  }
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
