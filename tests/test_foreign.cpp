// Files that are no model files: what the program says of each, that the command it tells works, and what the C interface says of
// the same bytes. EDGELLM and EDGELLM_CONVERT are the commands that start the two programs.
#include <filesystem>

#include "check.h"
#include "convert_sources.h"
#include "edgellm.h"
#include "engine/state.h"
#include "file/model_file.h"
#include "program.h"

using namespace edgellm;
namespace fs = std::filesystem;

namespace {

const std::string ABOUT =
    "a model file is what edgellm-convert makes of a GGUF file, a Hugging Face folder or others (edgellm-convert --help)";
const std::string CONVERTS = "edgellm-convert makes a model file of it";
const std::string IN_A_FOLDER = "edgellm-convert takes the folder that it belongs to, with config.json";

// A file. In its words @ is its path, in a folder of its own.
struct Row {
  std::string name, bytes, words;
  std::string bare;  // what is said of the bytes alone, behind "not a model file but "
};

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (int value : values)
    out += static_cast<char>(value);
  return out;
}

std::string padded(std::string text, size_t size) {
  text.resize(size);
  return text;
}

template <class T>
std::string image(const T& value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

std::string replaced(std::string text, char mark, const std::string& by) {
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += by.size())
    text.replace(at, 1, by);
  return text;
}

// A command of the environment, from another folder too.
std::string command(const char* variable) {
  const char* words = std::getenv(variable);
  return words && words[0] != '/' && fs::exists(words) ? fs::absolute(words).string() : words ? words : "";
}

bool has_converter() {
  return shell(command("EDGELLM_CONVERT") + " --version").code == 0;
}

Said words_of(const std::string& path, const std::string& options = "") {
  return edgellm_says("run '" + path + "' --no-convert " + options);
}

void check_words(const std::string& path, const std::string& words) {
  const Said said = words_of(path);
  CHECK_EQ(said.err, "edgellm: " + path + " is " + replaced(words, '@', path) + "\n");
  CHECK_EQ(said.code, 3);
  CHECK_EQ(said.out, std::string());
}

std::string opened(const std::string& data) {
  alignas(64) static u8 copy[1 << 20];
  CHECK(data.size() <= sizeof copy);
  std::memcpy(copy, data.data(), data.size());
  ModelFile file;
  const Status status = file.open({copy, static_cast<i64>(data.size())});
  CHECK(status.code() == Code::bad_model);
  return status.text();
}

sources::HfTensors rwkv() {
  sources::HfTensors tensors;
  tensors["blocks.0.ln0.weight"] = {"F32", {2}, std::string(8, '\0')};
  return tensors;
}

std::vector<Row> rows() {
  const sources::Model model;
  sources::Model copy;
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
  const std::string web = "page of the web: the link led to words about the file, not to it: download the file itself";
  const std::string part =
      ", at most a part of a model: download the whole folder, with config.json, for edgellm-convert FOLDER "
      "NEW.tm2";
  const std::string program = "a program: " + ABOUT,
                    state = "a saved state: edgellm MODEL --state-load FILE goes on from it";
  const std::string old =
      "a GGML file, which came before GGUF: edgellm-convert takes the model that it was made from, or a GGUF "
      "file of it";
  const std::string before =
      "a torch file of before version 1.6: torch.load and torch.save of a newer torch make one to convert";
  const std::string text = "a text: edgellm MODEL -f FILE goes on from it; " + ABOUT;
  const std::string empty = "an empty file: what made or fetched it did not finish; do that again";
  const std::string cpp = "a file of rwkv.cpp: edgellm-convert takes the .pth that it was made from";
  StateHeader header = {};
  header.magic = STATE_MAGIC;
  return {
      {"m.gguf", "GGUF" + bytes({3, 0, 0, 0}), "a GGUF file: edgellm-convert @ m.tm2", "a GGUF file: " + CONVERTS},
      {"-m.gguf", "GGUF", "a GGUF file: edgellm-convert @ ./-m.tm2", "a GGUF file: " + CONVERTS},
      {"m.v2.gguf", "GGUF", "a GGUF file: edgellm-convert @ m.v2.tm2", "a GGUF file: " + CONVERTS},
      {"m.tm2", "GGUF", "a GGUF file: edgellm-convert @ m-new.tm2", "a GGUF file: " + CONVERTS},
      {"my model's.gguf", "GGUF", "a GGUF file: edgellm-convert '@' 'my model'\\''s.tm2'", "a GGUF file: " + CONVERTS},
      {"t.tmac.bin", "TMAC" + bytes({2, 0, 0, 0}), "a TMAC file: edgellm-convert @ t.tmac.tm2", "a TMAC file: " + CONVERTS},
      {"l.bin", sources::llama2c_legacy(model), "a llama2.c checkpoint: edgellm-convert @ l.tm2",
       "a llama2.c checkpoint: " + CONVERTS},
      {"l1.bin", sources::llama2c_versioned(&copy, 1), "a llama2.c checkpoint: edgellm-convert @ l1.tm2",
       "a llama2.c checkpoint: " + CONVERTS},
      {"r.pth", sources::torch_save(rwkv()), "a torch file of RWKV: edgellm-convert @ r.tm2",
       "a torch file of RWKV: " + CONVERTS},
      {"r.safetensors", sources::safetensors(rwkv()), "a safetensors file of RWKV: edgellm-convert @ r.tm2",
       "a safetensors file of RWKV: " + CONVERTS},
      {"h.safetensors", sources::safetensors(sources::hf_tensors(model, "F32")), "a safetensors file" + part,
       "a safetensors file: " + IN_A_FOLDER},
      {"h.bin", sources::torch_save(sources::hf_tensors(model, "F32")), "a torch file" + part,
       "a torch file: " + IN_A_FOLDER},
      {"o.pth", bytes({0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19}), before, before},
      {"p", pointer, "a Git-LFS pointer, not the file itself: git -C $ lfs pull",
       "a Git-LFS pointer, not the file itself: `git lfs pull` fetches that"},
      {"page.tm2", "\n<!DOCTYPE html><html>", "a " + web, "a " + web},
      {"page.gguf", "\xef\xbb\xbf<HTML>\n", "a " + web, "a " + web},
      {"c.json", " {\"a\": 1}\n", "a JSON file" + part, "a JSON file: " + IN_A_FOLDER},
      {"x.gz", bytes({0x1f, 0x8b, 8, 0}), "a gzip archive: gunzip @", "a gzip archive: gunzip unpacks it"},
      {"x.tar.gz", bytes({0x1f, 0x8b, 8, 0}), "a gzip archive: tar xf @", "a gzip archive: gunzip unpacks it"},
      {"x.tgz", bytes({0x1f, 0x8b, 8, 0}), "a gzip archive: tar xf @", "a gzip archive: gunzip unpacks it"},
      {"x.bz2", "BZh9", "a bzip2 archive: bunzip2 @", "a bzip2 archive: bunzip2 unpacks it"},
      {"x.xz", bytes({0xfd, '7', 'z', 'X', 'Z', 0}), "an xz archive: unxz @", "an xz archive: unxz unpacks it"},
      {"x.zst", bytes({0x28, 0xb5, 0x2f, 0xfd}), "a zstd archive: unzstd @", "a zstd archive: unzstd unpacks it"},
      {"x.7z", bytes({'7', 'z', 0xbc, 0xaf, 0x27, 0x1c}), "a 7z archive: 7z x @", "a 7z archive: 7z x unpacks it"},
      {"x.zip", sources::zip({{"a/b.txt", "b"}}), "a zip archive: unzip @", "a zip archive: unzip unpacks it"},
      {"x.tar", padded("a/b", 257) + "ustar" + std::string(250, '\0'), "a tar archive: tar xf @",
       "a tar archive: tar xf unpacks it"},
      {"notes.txt", "Once upon a time\n", text, text},
      {"utf8.txt",
       "Gr\xc3\xbc\xc3\x9f"
       "e\r\n",
       text, text},
      {"nothing", "", empty, empty},
      {"s.state", image(header), state, state},
      {"s1.state", "ESS1" + std::string(60, '\0'), state, state},
      {"a.out", bytes({0x7f, 'E', 'L', 'F', 2}), program, program},
      {"a.mach", bytes({0xcf, 0xfa, 0xed, 0xfe}), program, program},
      {"a.exe", bytes({'M', 'Z', 0x90}), program, program},
      {"a.sh", "#!/bin/sh\n", program, program},
      {"ggml.bin", "lmgg" + std::string(8, '\0'), old, old},
      {"ggmf.bin", "fmgg" + bytes({1, 0, 0, 0}), old, old},
      {"ggjt.bin", "tjgg" + bytes({3, 0, 0, 0}), old, old},
      {"rwkv.bin", "fmgg" + bytes({100, 0, 0, 0}), cpp, cpp},
      {"rwkv5.bin", "fmgg" + bytes({101, 0, 0, 0}), cpp, cpp},
  };
}

// A conversion that is told, done in a folder of its own.
void check_told(const std::string& path) {
  const Folder here;
  const std::string err = words_of(path).err, mark = ": edgellm-convert ";
  const size_t at = err.find(mark);
  CHECK(at != std::string::npos);
  if (at == std::string::npos) return;
  const std::string words = err.substr(at + mark.size(), err.size() - at - mark.size() - 1);
  const Said said = shell("cd " + here.path + " && " + command("EDGELLM_CONVERT") + " " + words);
  CHECK_EQ(words + ": " + std::to_string(said.code) + (said.code ? said.err : ""), words + ": 0");
  i32 made = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(here.path)) {
    CHECK_EQ(edgellm_says("info '" + entry.path().string() + "'").code, 0);
    made++;
  }
  CHECK_EQ(made, 1);
}

void copy(const std::string& from, const std::string& to) {
  fs::copy(from, to, fs::copy_options::recursive);
}

}  // namespace

TEST(every_kind_of_file) {
  const Folder folder;
  for (const Row& row : rows()) {
    const std::string path = folder / row.name;
    write_file(path, row.bytes);
    const std::string words = replaced(row.words, '$', folder.path);
    if (contains(words, "'@'")) {
      CHECK_EQ(edgellm_says("run \"" + path + "\" --no-convert").err,
               "edgellm: " + path + " is a GGUF file: edgellm-convert '" + folder / "my model'\\''s.gguf" +
                   "' 'my model'\\''s.tm2'\n");
    } else {
      check_words(path, words);
    }
    CHECK_EQ(row.name + ": " + opened(row.bytes), row.name + ": not a model file but " + row.bare);
    CHECK(opened(row.bytes).size() < 300);  // none is cut
  }
}

TEST(bytes_of_nothing_known) {
  const Folder folder;
  write_file(folder / "noise", bytes({1, 2, 3, 0xff, 5}) + std::string(100, '\1'));
  check_words(folder / "noise", "not a model file (it begins with 01 02 03 ff): " + ABOUT);
  write_file(folder / "byte", bytes({7}));
  check_words(folder / "byte", "not a model file (it begins with 07): " + ABOUT);
  CHECK_EQ(opened(bytes({1, 2, 3})), "not a model file: 3 bytes are less than a header");
  // What only looks like one: the numbers of llama2.c of which one is none, a length of safetensors without its header.
  sources::Shape shape;
  shape.heads = 5;  // which does not divide 24
  write_file(folder / "l.bin", sources::llama2c_numbers(shape, false) + std::string(1000, '\0'));
  check_words(folder / "l.bin", "not a model file (it begins with 18 00 00 00): " + ABOUT);
  write_file(folder / "s.safetensors", bytes({9, 0, 0, 0, 0, 0, 0, 0, '[', '"'}) + std::string(20, 'a'));
  check_words(folder / "s.safetensors", "not a model file (it begins with 09 00 00 00): " + ABOUT);
}

// Parts of one GGUF file name the first.
TEST(a_file_in_parts) {
  const Folder folder;
  const std::string first = folder / "m-00001-of-00003.gguf",
                    words = ": llama-gguf-split --merge " + first + " m.gguf joins its parts for edgellm-convert";
  for (const char* name : {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf"}) {
    write_file(folder / name, "GGUF");
    check_words(folder / name, "a GGUF file" + words);
  }
  check_words(folder.path, "a folder; " + first + " is a GGUF file" + words);
  write_file(folder / "m-2-of-3.gguf", "GGUF");
  check_words(folder / "m-2-of-3.gguf", "a GGUF file: edgellm-convert @ m-2-of-3.tm2");
}

// A model file that was cut or damaged is named, too.
TEST(model_files_with_a_defect) {
  const Folder folder;
  const std::string whole = read_file("models/stories.tm2"), path = folder / "cut.tm2";
  write_file(path, whole.substr(0, 5000));
  Said said = words_of(path);
  CHECK_EQ(said.err, "edgellm: " + path + ": the file has 5000 bytes, its header says " + std::to_string(whole.size()) +
                         ": it was cut; copy or make it again\n");
  CHECK_EQ(said.code, 3);
  std::string damaged = whole;
  damaged[100] = static_cast<char>(damaged[100] ^ 1);
  write_file(path, damaged);
  said = words_of(path);
  CHECK(said.err.starts_with("edgellm: " + path + ": damaged: checksum of header, metadata and tensor table is "));
  CHECK_EQ(said.code, 3);
}

TEST(every_kind_of_folder) {
  const Folder folder;
  const std::string at = folder.path, json = "{}", tensors = sources::safetensors(rwkv());
  struct Entry {
    std::string name, bytes;
  };
  struct Case {
    std::string name;
    std::vector<Entry> files;
    std::string words;  // @ is the folder
  };
  const std::string weights = sources::safetensors(sources::hf_tensors(sources::Model(), "F32"));
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
  const std::string hf = "a Hugging Face folder: edgellm-convert @ hf.tm2";
  for (const Case& one : std::vector<Case>{
           {"empty", {}, "a folder without a model: " + ABOUT},
           {"texts", {{"README.md", "words"}}, "a folder without a model: " + ABOUT},
           {"hf", {{"config.json", json}, {"model.safetensors", weights}}, hf},
           {"hf", {{"config.json", json}, {"model.safetensors.index.json", json}}, hf},
           {"hf", {{"config.json", json}, {"pytorch_model.bin", sources::torch_save({})}}, hf},
           {"hf", {{"config.json", json}, {"pytorch_model.bin.index.json", json}, {"m.gguf", "GGUF"}, {"m.pth", "PK"}}, hf},
           {"hf",
            {{"config.json", json}},
            "a Hugging Face folder without its weights: download model.safetensors, or its parts and their index, too"},
           {"hf",
            {{"config.json", json}, {"model.safetensors", pointer}},
            "a folder; @/model.safetensors is a Git-LFS pointer, not the file itself: git -C @ lfs pull"},
           {"one",
            {{"m.gguf", "GGUF"}, {"README.md", "words"}},
            "a folder; @/m.gguf is a GGUF file: edgellm-convert @/m.gguf m.tm2"},
           {"one", {{"m.gguf", pointer}}, "a folder; @/m.gguf is a Git-LFS pointer, not the file itself: git -C @ lfs pull"},
           {"two",
            {{"b.gguf", "GGUF"}, {"a.gguf", "GGUF"}},
            "a folder with 2 GGUF files, name one of them: edgellm @/a.gguf"},
           {"pth",
            {{"r.pth", sources::torch_save(rwkv())}},
            "a folder; @/r.pth is a torch file of RWKV: edgellm-convert @/r.pth r.tm2"},
           {"pths", {{"s.pth", "PK"}, {"r.pth", "PK"}}, "a folder with 2 .pth files, name one of them: edgellm @/r.pth"},
           {"ours",
            {{"m.tm2", "TM2\2"}, {"config.json", json}, {"model.safetensors", weights}},
            "a folder with 1 model file: edgellm @/m.tm2"},
           {"ours",
            {{"m.tm2", "TM2\2"}, {"k.srnn", "SRN\2"}},
            "a folder with 2 model files, name one of them: edgellm @/k.srnn"},
           {"rwkv",
            {{"model.safetensors", tensors}},
            "a folder; @/model.safetensors is a safetensors file of RWKV: edgellm-convert @/model.safetensors model.tm2"},
           {"bare",
            {{"model.safetensors", weights}},
            "a folder; @/model.safetensors is a safetensors file, at most a part of a model: download the whole folder, "
            "with "
            "config.json, for edgellm-convert FOLDER NEW.tm2"},
           {"lora",
            {{"adapter_config.json", json}, {"adapter_model.safetensors", weights}},
            "a folder with an adapter: edgellm-convert MODEL NEW.tm2 --lora @ merges it into the model that it was trained "
            "for"},
       }) {
    const std::string path = folder / one.name;
    fs::create_directory(path);
    for (const Entry& file : one.files)
      write_file(path + "/" + file.name, file.bytes);
    check_words(path, one.words);
    fs::remove_all(path);
  }
}

// A part of a Hugging Face folder stands for it.
TEST(parts_of_a_folder) {
  const Folder folder;
  fs::create_directory(folder / "hf");
  write_file(folder / "hf/config.json", "{}");
  write_file(folder / "hf/tokenizer.json", "{}");
  write_file(folder / "hf/model.safetensors", sources::safetensors({}));
  const std::string of = " of a Hugging Face folder: edgellm-convert " + folder / "hf" + " hf.tm2";
  check_words(folder / "hf/config.json", "a JSON file" + of);
  check_words(folder / "hf/tokenizer.json", "a JSON file" + of);
  check_words(folder / "hf/model.safetensors", "a safetensors file" + of);
  check_words(folder / "hf/", "a Hugging Face folder: edgellm-convert @ hf.tm2");
  const Said said = shell("cd " + folder / "hf" + " && " + command("EDGELLM") + " --no-convert .");
  CHECK_EQ(said.err, std::string("edgellm: . is a Hugging Face folder: edgellm-convert . model.tm2\n"));
  CHECK_EQ(shell("cd " + folder / "hf" + " && " + command("EDGELLM") + " --no-convert config.json").err,
           std::string("edgellm: config.json is a JSON file of a Hugging Face folder: edgellm-convert . model.tm2\n"));
}

// What is long is said without the path, and whole.
TEST(long_paths) {
  const Folder folder;
  const std::string deep = folder / std::string(120, 'd');
  fs::create_directory(deep);
  write_file(deep + "/m.gguf", "GGUF");
  check_words(deep + "/m.gguf", "a GGUF file: edgellm-convert SOURCE NEW.tm2");
}

TEST(every_command) {
  const Folder folder;
  const std::string path = folder / "m.gguf",
                    words = "edgellm: " + path + " is a GGUF file: edgellm-convert " + path + " m.tm2\n";
  write_file(path, "GGUF");
  for (const char* command :
       {"", "run ", "chat ", "bench ", "eval --ids 1 ", "info ", "selftest ", "tokenize -i a ", "detokenize --ids 1 "}) {
    const Said said = edgellm_says(command + path + " --no-convert");
    CHECK_EQ(command + said.err, command + words);
    CHECK_EQ(said.code, 3);
    CHECK_EQ(said.out, std::string());
  }
}

TEST(another_tokenizer) {
  const Folder folder;
  write_file(folder / "m.gguf", "GGUF");
  write_file(folder / "tokenizer.json", "{}");
  struct Case {
    std::string name, what;
  };
  for (const Case& one : {Case{"m.gguf", "a GGUF file"}, {"tokenizer.json", "a JSON file"}, {"", "a folder"}}) {
    for (const char* command : {"run -i a models/stories.tm2", "tokenize -i a models/stories.tm2"}) {
      const std::string path = one.name.empty() ? folder.path : folder / one.name;
      const Said said = edgellm_says(std::string(command) + " --no-convert --tokenizer " + path);
      CHECK_EQ(said.err, "edgellm: --tokenizer " + path + " is " + one.what +
                             ", not a model file: `edgellm-convert SOURCE NEW.tm2 --tokenizer " + path +
                             "`, from what the model was made of, puts a tokenizer into one\n");
      CHECK_EQ(said.code, 3);
    }
  }
}

// A file of version 1 is run as it is; where only newer ones can be read, it is told how to get one.
TEST(version_1) {
  const Folder folder;
  const std::string path = folder / "v1.tm2.bin";
  write_file(path, sources::tm2_version1(sources::Model(sources::Fill::ternary_row, true, true)));
  CHECK_EQ(edgellm_says("run -n 1 -i 1 --no-convert " + path).code, 0);
  for (const char* command : {"info ", "tokenize -i a ", "detokenize --ids 1 "}) {
    CHECK_EQ(edgellm_says(command + path + " --no-convert").err,
             "edgellm: " + path + " is a TM2 version 1 file: edgellm-convert " + path + " v1.tm2\n");
  }
  CHECK_EQ(opened(read_file(path)), "not a model file but a TM2 version 1 file: " + CONVERTS);
}

// A host hears what its bytes are.
TEST(the_c_interface) {
  alignas(64) static char gguf[128] = "GGUF";
  edgellm_config config = {};
  config.model = gguf, config.model_bytes = sizeof gguf, config.context = 16;
  edgellm_facts facts;
  edgellm_error error;
  CHECK_EQ(edgellm_plan(&config, &facts, &error), EDGELLM_BAD_MODEL);
  CHECK_EQ(std::string(error.text), "not a model file but a GGUF file: " + CONVERTS);
  edgellm_engine* engine = nullptr;
  CHECK_EQ(edgellm_init(&config, gguf, sizeof gguf, &engine, &error), EDGELLM_BAD_MODEL);
  CHECK_EQ(std::string(error.text), "not a model file but a GGUF file: " + CONVERTS);
}

// What is told is typed, and works.
TEST(what_is_told_works) {
  if (!has_converter()) SKIP("edgellm-convert is not built");
  const Folder folder;
  sources::Model random, ternary(sources::Fill::ternary_row, false, true);
  write_file(folder / "legacy.bin", sources::llama2c_legacy(random));
  write_file(folder / "version1.bin", sources::llama2c_versioned(&random, 1));
  write_file(folder / "version2.bin", sources::llama2c_versioned(&random, 2));
  write_file(folder / "t.tmac", sources::tmac_version2(ternary));
  copy("tests/golden/gguf/llama.gguf", folder / "my llama.gguf");
  copy("tests/golden/gguf/llama.gguf", folder / "llama.tm2");
  copy("tests/golden/recurrent/rwkv4/rwkv4.pth", folder / "rwkv4.pth");
  fs::create_directory(folder / "hf");
  sources::write_hf(folder / "hf", sources::config_json(random, "LlamaForCausalLM"), sources::hf_tensors(random, "F32"));
  fs::create_directory(folder / "one");
  copy("tests/golden/gguf/llama.gguf", folder / "one/llama.gguf");
  for (const char* name : {"legacy.bin", "version1.bin", "version2.bin", "t.tmac", "my llama.gguf", "llama.tm2", "rwkv4.pth",
                           "hf", "hf/config.json", "hf/model.safetensors", "one"})
    check_told(folder / name);
  for (const char* name : {"mamba", "mamba2", "retnet", "rwkv4"})
    check_told(fs::absolute(std::string("tests/golden/recurrent/") + name).string());
}
