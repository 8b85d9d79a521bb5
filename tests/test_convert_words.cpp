// What is no source: made files and folders, and the exact words that say what each is and what to type. What stands for a source
// is taken.
#include "convert_checks.h"
#include "gguf_source.h"

using namespace convert_checks;
using edgellm::convert::text;

namespace {

constexpr Shape SMALL{1, 8, 6, 2, 1, 4, 5, 2};
const std::string POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 2471645608\n";
const std::string CUT = ": it was cut: download it again";

std::string small_gguf() {
  Shape shape = SMALL;
  shape.dim = 8;
  return gguf_of(Model(Fill::random, false, true, shape), "llama").bytes();
}

// A folder of Hugging Face with weights that are whole.
void write_folder(const std::string& path) {
  std::filesystem::create_directories(path);
  const Model model(Fill::random, false, false, SMALL);
  write_hf(path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
}

// What the converter says of `name` in a folder that `make` fills, with its path left out.
template <class Make>
std::string said_of(const std::string& name, Make make, Code code = Code::bad_model) {
  Folder folder;
  make(folder);
  std::string words = failure(folder, folder / name, code);
  for (size_t at; (at = words.find(folder.path + "/")) != std::string::npos;)
    words.erase(at, folder.path.size() + 1);
  return words;
}

std::string said_of_file(const std::string& name, const std::string& bytes) {
  return said_of(name, [&](const Folder& folder) { write_file(folder / name, bytes); });
}

TEST(files_that_are_something_else) {
  const struct {
    const char* name;
    std::string bytes, words;
  } rows[] = {
      {"m.gguf", POINTER, "m.gguf is a Git-LFS pointer, not the file itself: git -C FOLDER lfs pull"},
      {"m.gguf", "<!DOCTYPE html>\n<html><body>Sign in</body></html>",
       "m.gguf is a page of the web: the link led to words about the file, not to it: download the file itself"},
      {"m.pth", "  <HTML>",
       "m.pth is a page of the web: the link led to words about the file, not to it: download the file itself"},
      {"m.tm2", std::string("TM2\2", 4) + std::string(60, '\0'), "m.tm2 is a model file already: edgellm m.tm2 runs it"},
      {"a b.srnn", std::string("SRN\2", 4) + std::string(60, '\0'),
       "a b.srnn is a model file already: edgellm 'PATHa b.srnn' runs it"},
      {"m.bin", std::string("fmgg\x65\0\0\0", 8) + std::string(60, '\1'),
       "m.bin is a file of rwkv.cpp: edgellm-convert takes the .pth that it was made from"},
      {"m.bin", std::string("fmgg\x64\0\0\0", 8) + std::string(60, '\1'),
       "m.bin is a file of rwkv.cpp: edgellm-convert takes the .pth that it was made from"},
      {"m.bin", std::string("tjgg\3\0\0\0", 8) + std::string(60, '\1'),
       "m.bin is a GGML file, which came before GGUF: edgellm-convert takes the model that it was made from, or a GGUF file "
       "of it"},
      {"m.gz", std::string("\x1f\x8b\x08\0", 4) + std::string(60, '\1'), "m.gz is a gzip archive: gunzip m.gz unpacks it"},
      {"m.safetensors", safetensors(hf_tensors(Model(Fill::random, false, false, SMALL), "F32")),
       "m.safetensors is a safetensors file, a part of a model at most: give the folder that it belongs to, with "
       "config.json"},
      {"tokenizer.json", "{\"model\":{}}",
       "tokenizer.json is a JSON file, a part of a model at most: give the folder that it belongs to, with config.json"},
      {"m.bin", torch_save(hf_tensors(Model(Fill::random, false, false, SMALL), "F32")),
       "m.bin is a torch file, a part of a model at most: give the folder that it belongs to, with config.json"},
      {"m.txt", "Once upon a time",
       "m.txt is a text: not a source of a known kind (RWKV, Mamba, RetNet, Hugging Face folder, GGUF, TM2 version 1, TMAC "
       "version 2, llama2.c checkpoint)"},
      {"m", std::string("\x01\x02\x03\xff", 4),
       "m: not a source of a known kind (RWKV, Mamba, RetNet, Hugging Face folder, GGUF, TM2 version 1, TMAC version 2, "
       "llama2.c checkpoint)"},
      {"m", "", "m is an empty file: what made or fetched it did not finish; do that again"},
  };
  for (const auto& row : rows) {
    Folder folder;
    write_file(folder / row.name, row.bytes);
    std::string words = failure(folder, folder / row.name);
    CHECK(words.starts_with(folder.path + "/"));
    words.erase(0, folder.path.size() + 1);
    for (const auto& [path, name] : {std::pair<std::string, std::string>{"-C " + folder.path, "-C FOLDER"},
                                     {"'" + folder.path + "/", "'PATH"},
                                     {folder.path + "/", ""}}) {
      if (const size_t at = words.find(path); at != std::string::npos) words.replace(at, path.size(), name);
    }
    CHECK_EQ(words, row.words);
  }
}

TEST(files_that_were_cut) {
  const std::string gguf = small_gguf(), legacy = llama2c_legacy(Model(Fill::random, false, true, SMALL));
  auto cut_gguf = [&](size_t size) { return said_of_file("m.gguf", gguf.substr(0, size)); };
  for (size_t lost : {size_t{1}, size_t{33}}) {
    CHECK_EQ(cut_gguf(gguf.size() - lost),
             text("m.gguf: ", gguf.size() - lost, " bytes, its tensors end at ", gguf.size(), CUT));
  }
  CHECK_EQ(cut_gguf(20), "m.gguf: number of entries needs 8 bytes at offset 16, only 4 are left" + CUT);
  CHECK_EQ(said_of_file("m.bin", legacy.substr(0, legacy.size() / 2)),
           text("m.bin: ", legacy.size() / 2, " bytes, its header wants ", legacy.size(), CUT));
  Model grouped(Fill::random, false, false, {1, 8, 8, 2, 1, 4, 5, 2});
  const std::string version2 = llama2c_versioned(&grouped, 2);
  CHECK_EQ(said_of_file("m.bin", version2.substr(0, version2.size() - 1)),
           text("m.bin: ", version2.size() - 1, " bytes, its header wants ", version2.size(), CUT));
  const std::string torch = torch_save(hf_tensors(Model(Fill::random, false, false, SMALL), "F32"));
  CHECK_EQ(said_of_file("m.pth", torch.substr(0, 700)), "m.pth: a zip archive of 700 bytes without its end" + CUT);
}

// A folder with config.json whose file `name` has these bytes.
std::string said_with(const std::string& name, const std::string& bytes) {
  return said_of("f", [&](const Folder& folder) {
    write_folder(folder / "f");
    if (name != "model.safetensors" && name.ends_with(".bin")) std::filesystem::remove(folder / "f/model.safetensors");
    write_file(folder / "f/" + name, bytes);
  });
}

TEST(files_of_folders) {
  const std::string whole = safetensors(hf_tensors(Model(Fill::random, false, false, SMALL), "F32"));
  const struct {
    const char* file;
    std::string bytes, words;
  } rows[] = {
      {"model.safetensors", POINTER, " is a Git-LFS pointer, not the file itself: git -C f lfs pull"},
      {"pytorch_model.bin", POINTER, " is a Git-LFS pointer, not the file itself: git -C f lfs pull"},
      {"config.json", POINTER, " is a Git-LFS pointer, not the file itself: git -C f lfs pull"},
      {"tokenizer.model", POINTER, " is a Git-LFS pointer, not the file itself: git -C f lfs pull"},
      {"tokenizer.json", POINTER, " is a Git-LFS pointer, not the file itself: git -C f lfs pull"},
      {"tokenizer.json", "<!doctype html>",
       " is a page of the web: the link led to words about the file, not to it: download the file itself"},
      {"model.safetensors", "<html>",
       " is a page of the web: the link led to words about the file, not to it: download the file itself"},
      {"model.safetensors", "Entry not found", ": a text, expected a safetensors file"},
      {"model.safetensors", "", ": header length needs 8 bytes at offset 0, only 0 are left" + CUT},
      {"model.safetensors", whole.substr(0, 100),
       text(": header needs ", whole.find("}}") + 2 - 8, " bytes at offset 8, only 92 are left", CUT)},
      {"model.safetensors", whole.substr(0, whole.size() - 1),
       text(": ", whole.size() - 1, " bytes, its tensors end at ", whole.size(), CUT)},
      {"config.json", "{\"architectures\": [\"Lla",
       ": not JSON: line 1, column 24: a string without an end, where it ends: it was cut, or never finished"},
      {"pytorch_model.bin", whole,
       ": a safetensors file, expected a zip archive, as torch.save has written them since version 1.6"},
  };
  for (const auto& row : rows)
    CHECK_EQ(said_with(row.file, row.bytes), text("f/", row.file, row.words));
}

// Removes some of two shards.
std::string said_without(const std::vector<std::string>& shards) {
  return said_of("f", [&](const Folder& folder) {
    std::filesystem::create_directories(folder / "f");
    const Model model(Fill::random, false, false, SMALL);
    write_sharded(folder / "f", config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
    for (const std::string& shard : shards)
      std::filesystem::remove(folder / "f/" + shard);
  });
}

TEST(shards_that_are_missing) {
  CHECK_EQ(said_without({"shard1.safetensors"}),
           "f/model.safetensors.index.json: of the 2 files that it names 1 is missing: shard1.safetensors: download it");
  CHECK_EQ(said_without({"shard0.safetensors", "shard1.safetensors"}),
           "f/model.safetensors.index.json: of the 2 files that it names 2 are missing: shard0.safetensors, "
           "shard1.safetensors: download them");
  CHECK_EQ(said_of("f",
                   [](const Folder& folder) {
                     std::filesystem::create_directories(folder / "f");
                     const Model model(Fill::random, false, false, SMALL);
                     write_sharded(folder / "f", config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
                     write_file(folder / "f/shard0.safetensors", POINTER);
                   }),
           "f/shard0.safetensors is a Git-LFS pointer, not the file itself: git -C f lfs pull");
}

// A folder with these files, each of a few bytes.
std::string said_of_folder(const std::vector<std::string>& files, const std::string& bytes = "{}") {
  return said_of("f", [&](const Folder& folder) {
    std::filesystem::create_directories(folder / "f");
    for (const std::string& file : files) {
      std::filesystem::create_directories(std::filesystem::path(folder / "f/" + file).parent_path());
      write_file(folder / "f/" + file, bytes);
    }
  });
}

TEST(folders_that_are_no_source) {
  const std::string lacks =
      "f is a folder without config.json, which says what its files mean: download that too, or name a file; ";
  const struct {
    std::vector<std::string> files;
    std::string words;
  } rows[] = {
      {{}, "f is an empty folder, expected one with config.json, or a file"},
      {{"README.md"}, lacks + "there is README.md"},
      {{"b.pth", "a.pth"}, lacks + "there are a.pth, b.pth"},
      {{"1", "2", "3", "4", "5", "6", "7", "8", "9", "a"}, lacks + "there are 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"},
      {{"z/file"}, lacks + "there is z/"},
      {{"sub/config.json", "README.md"},
       "f is a folder without config.json, but there is one inside: edgellm-convert f/sub"},
      {{"snapshots/1a2b/config.json", "refs/main"},
       "f is a folder without config.json, but there is one inside: edgellm-convert f/snapshots/1a2b"},
      {{"adapter_config.json", "adapter_model.bin"},
       "f is a folder with an adapter: edgellm-convert MODEL NEW.tm2 --lora f merges it into the model that it was trained "
       "for"},
      {{"q8.gguf", "q4.gguf"}, "f is a folder with 2 GGUF files, name one of them: q4.gguf, q8.gguf"},
      {{"q4-00001-of-00002.gguf", "q4-00002-of-00002.gguf", "q8.gguf"},
       "f is a folder with 2 GGUF files, name one of them: q4-00001-of-00002.gguf, q8.gguf"},
      {{"config.json"},
       "f is a folder without its weights, model.safetensors or pytorch_model.bin, or an index of their parts: download "
       "them too; there is config.json"},
      {{"config.json", "onnx/config.json"},
       "f is a folder without its weights, model.safetensors or pytorch_model.bin, or an index of their parts: download "
       "them too; there are config.json, onnx/"},
      {{"config.json", "q8.gguf", "q4.gguf"}, "f is a folder with 2 GGUF files, name one of them: q4.gguf, q8.gguf"},
  };
  for (const auto& row : rows)
    CHECK_EQ(said_of_folder(row.files), row.words);
}

TEST(names_of_nothing) {
  auto said = [](const std::string& source) {
    Folder folder;
    return failure(folder, source, Code::failed);
  };
  CHECK_EQ(said("meta-llama/Llama-3.2-1B"),
           "meta-llama/Llama-3.2-1B: No such file or directory; if it is a model on huggingface.co: `hf download "
           "meta-llama/Llama-3.2-1B --local-dir Llama-3.2-1B`, then edgellm-convert Llama-3.2-1B");
  CHECK_EQ(said("https://huggingface.co/a/b"),
           "https://huggingface.co/a/b is an address: download the file or folder, and give its name");
  for (const char* name : {"nowhere/model.gguf", "nothing", "a/b/c", "/nowhere/model", ".../x", "a//b"})
    CHECK_EQ(said(name), text(name, ": No such file or directory"));
  Folder folder;
  write_file(folder / "stories.gguf", "x");
  std::filesystem::create_directories(folder / "SmolLM-135M");
  CHECK_EQ(failure(folder, folder / "storeis.gguf", Code::failed),
           folder / "storeis.gguf: No such file or directory: did you mean stories.gguf?");
  CHECK_EQ(failure(folder, folder / "SmolLM-153M", Code::failed),
           folder / "SmolLM-153M: No such file or directory: did you mean SmolLM-135M?");
  CHECK_EQ(failure(folder, folder / "unlike", Code::failed), folder / "unlike: No such file or directory");
}

// The bytes of the file that `source` becomes, and what was noted of where they are from.
std::string made_of(const Folder& folder, const std::string& source, std::string* note = nullptr) {
  Options options;
  options.source = source;
  options.destination = folder / "out.tm2";
  options.name = "m";
  std::ostringstream report;
  edgellm::convert::convert(options, report, false);
  if (note) {
    const size_t at = report.str().find("note: ");
    *note = report.str().substr(at, report.str().find('\n', at) - at);
  }
  const std::string made = read_file(options.destination);
  std::filesystem::remove(options.destination);
  return made;
}

TEST(what_stands_for_a_folder) {
  Folder folder;
  std::string note;
  write_folder(folder / "f");
  const std::string expected = made_of(folder, folder / "f");
  for (const char* name : {"config.json", "model.safetensors"}) {
    CHECK(made_of(folder, folder / "f/" + name, &note) == expected);
    CHECK_EQ(note, text("note: ", name, " is read with the folder that it lies in"));
  }
  std::filesystem::create_directories(folder / "bare");
  write_file(folder / "bare/config.json", "{}");
  CHECK(contains(failure(folder, folder / "bare/config.json"), "bare is a folder without its weights"));
  // Another file of the folder is another thing.
  std::filesystem::copy_file(folder / "f/model.safetensors", folder / "f/other.safetensors");
  write_file(folder / "f/tokenizer.model", std::string("\n\x0e\n\x05<unk>\0", 10));
  write_file(folder / "f/README.md", "words");
  const std::string takes = ": edgellm-convert " + (folder / "f") + " takes all of it";
  CHECK_EQ(failure(folder, folder / "f/other.safetensors"),
           (folder / "f/other.safetensors is a safetensors file, a part of a model at most") + takes);
  CHECK_EQ(failure(folder, folder / "f/tokenizer.model"), (folder / "f/tokenizer.model: no source by itself") + takes);
  CHECK_EQ(failure(folder, folder / "f/README.md"), (folder / "f/README.md is a text: no source by itself") + takes);
  const Model model(Fill::random, false, false, SMALL);
  for (bool torch : {false, true}) {
    const std::string path = folder / (torch ? "torch" : "parts");
    std::filesystem::create_directories(path);
    write_sharded(path, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"), torch);
    const char* index = torch ? "/pytorch_model.bin.index.json" : "/model.safetensors.index.json";
    CHECK(made_of(folder, path + index) == made_of(folder, path));
  }
}

TEST(one_gguf_file_in_a_folder) {
  Folder folder;
  std::string note;
  std::filesystem::create_directories(folder / "f");
  write_file(folder / "f/m.gguf", small_gguf());
  write_file(folder / "f/README.md", "words");
  const std::string expected = made_of(folder, folder / "f/m.gguf");
  for (const char* more : {"", "config.json", "tokenizer.json"}) {
    if (*more) write_file(folder / "f/" + more, "{\"model_type\":\"llama\"}");
    for (const char* end : {"f", "f/"}) {
      CHECK(made_of(folder, folder / end, &note) == expected);
      CHECK_EQ(note, text("note: of ", folder / end, " the GGUF file is taken: m.gguf"));
    }
  }
  // The parts of one file are one; what it says of them itself counts.
  Shape shape = SMALL;
  shape.dim = 8;
  Gguf parts = gguf_of(Model(Fill::random, false, true, shape), "llama");
  parts.number("split.count", 2);
  std::filesystem::create_directories(folder / "g");
  for (const char* name : {"g/m-00001-of-00002.gguf", "g/m-00002-of-00002.gguf"})
    write_file(folder / name, parts.bytes());
  CHECK_EQ(failure(folder, folder / "g"),
           folder / "g/m-00001-of-00002.gguf: is one of 2 parts of a model: merge them (llama-gguf-split --merge)");
  // Weights of its own go first.
  write_folder(folder / "h");
  const std::string own = made_of(folder, folder / "h");
  write_file(folder / "h/m.gguf", small_gguf());
  CHECK(made_of(folder, folder / "h") == own);
}

}  // namespace
