// One search for a tokenizer in a folder: every family finds every kind, and of two kinds the one that goes first.
#include "convert/family/open.h"
#include "convert/tokenizer/folder.h"
#include "convert/tokenizer/tokenizer.h"
#include "convert_checks.h"

using namespace convert_checks;
using edgellm::convert::find_tokenizer;
using edgellm::convert::open_source;

namespace {

// A file that counts as a tokenizer, the one with its contents among the golden ones, and what the converter calls it.
struct Kind {
  const char *name, *golden, *said;
};

// In the order of preference.
constexpr Kind KINDS[] = {
    {"rwkv_vocab_v20230424.txt", "world/rwkv_vocab.txt", "RWKV world vocabulary"},
    {"rwkv_vocab_other.txt", "world/rwkv_vocab.txt", "RWKV world vocabulary"},
    {"tokenizer.json", "gpt2/tokenizer.json", "tokenizer.json, byte-level BPE"},
    {"tokenizer.model", "sentencepiece/tokenizer.model", "SentencePiece BPE"},
    {"vocab.json", "digits/vocab.json", "vocab.json and merges.txt, byte-level BPE"},
    {"tokenizer.bin", "llama2c/tokenizer.bin", "llama2.c"},
};

void put(const Kind& kind, const std::string& folder) {
  std::filesystem::copy_file(std::string("tests/golden/tokenizer/") + kind.golden, folder + "/" + kind.name);
}

void put_all(const std::string& folder) {
  std::filesystem::create_directory(folder);
  for (const Kind& kind : KINDS)
    put(kind, folder);
  std::filesystem::copy_file("tests/golden/tokenizer/digits/merges.txt", folder + "/merges.txt");
}

// A model without a tokenizer: what is converted, and the folder where its tokenizer would lie.
struct Source {
  std::string path, folder;
};

// One of each family and of each way to keep it.
std::vector<Source> sources_in(const Folder& place) {
  Model model;
  const std::string transformer = place / "transformer";
  std::filesystem::create_directory(transformer);
  write_hf(transformer, config_json(model, "LlamaForCausalLM"), hf_tensors(model, "F32"));
  std::vector<Source> out{{transformer, transformer}};
  for (const char* family : {"mamba", "mamba2", "retnet", "rwkv4"}) {
    std::filesystem::copy(std::string("tests/golden/recurrent/") + family, place / family);
    out.push_back({place / family, place / family});
  }
  out.push_back({place / "rwkv4/rwkv4.pth", place / "rwkv4"});
  return out;
}

}  // namespace

TEST(every_family_finds_every_kind_of_tokenizer) {
  Folder place;
  for (const Source& source : sources_in(place)) {
    CHECK_EQ(open_source(edgellm::convert::Source(source.path)).tokenizer, std::string());
    for (const Kind& kind : KINDS) {
      put(kind, source.folder);
      CHECK_EQ(open_source(edgellm::convert::Source(source.path)).tokenizer, source.folder + "/" + kind.name);
      std::filesystem::remove(source.folder + "/" + kind.name);
    }
  }
}

TEST(every_family_gets_the_tokenizer_that_was_found) {
  Folder place;
  for (const Source& source : sources_in(place)) {
    std::string said;
    CHECK(converted(place, source.path, {}, &said).tokenizer.empty());
    CHECK(contains(said, "warning: the model has no tokenizer"));
    const std::string json = R"({"model":{"type":"BPE","unk_token":"a","vocab":{"a":0},"merges":[]},"added_tokens":[]})";
    write_file(source.folder + "/tokenizer.json", json);
    CHECK(!converted(place, source.path, {}, &said).tokenizer.empty());
    CHECK(contains(said, "note: tokenizer: tokenizer.json"));
    std::filesystem::remove(source.folder + "/tokenizer.json");
  }
}

TEST(of_two_kinds_the_first_counts) {
  Folder place;
  put_all(place / "model");
  for (const Kind& kind : KINDS) {
    CHECK_EQ(find_tokenizer(place / "model"), place / "model" + "/" + kind.name);
    std::filesystem::remove(place / "model" + "/" + kind.name);
  }
  CHECK_EQ(find_tokenizer(place / "model"), std::string());
  CHECK_EQ(find_tokenizer(place / "nowhere"), std::string());
}

// What --tokenizer FOLDER reads.
TEST(a_folder_is_read_as_it_is_searched) {
  Folder place;
  put_all(place / "tokenizer");
  for (const Kind& kind : KINDS) {
    edgellm::convert::TokenizerInfo info;
    (void)edgellm::convert::build_tokenizer_section(place / "tokenizer", 1000, &info);
    CHECK_EQ(info.kind, kind.said);
    std::filesystem::remove(place / "tokenizer" + "/" + kind.name);
  }
  Options options;
  options.tokenizer = place / "tokenizer";
  const Source source = sources_in(place)[0];
  const std::string refusal = "/tokenizer: no tokenizer is there: expected rwkv_vocab*.txt, tokenizer.json, ";
  CHECK(contains(failure(place, source.path, Code::bad_model, options), refusal));
}

// What only looks like a vocabulary of RWKV, and which of several counts in whatever order the system lists them.
TEST(vocabularies_of_rwkv) {
  Folder place;
  for (const char* name : {"rwkv_vocab_b.txt", "rwkv_vocab_c.txt", "rwkv_vocab_a.txt", "rwkv_vocab.py", "my_rwkv_vocab.txt"})
    write_file(place / name, "1 'a' 1\n");
  std::filesystem::create_directory(place / "rwkv_vocab.txt");
  for (const char* name : {"rwkv_vocab_a.txt", "rwkv_vocab_b.txt", "rwkv_vocab_c.txt"}) {
    CHECK_EQ(find_tokenizer(place.path), place / name);
    std::filesystem::remove(place / name);
  }
  CHECK_EQ(find_tokenizer(place.path), std::string());
}
