// Published tokenizers on a whole text: as many ids, and the same ones, as their references give (Hugging Face `tokenizers`,
// `sentencepiece`, `tiktoken`; tools/golden/tokenizer_cases.py compares far more). And that text comes back from its ids.
#include "convert_sources.h"
#include "data_path.h"
#include "tokenizer_test.h"

using namespace edgellm;

struct Published {
  const char* path;
  i32 vocab;
  size_t ids;  // of the text
  u64 hash;    // FNV-1a over ids
};

static const Published PUBLISHED[] = {
    {"tokenizers/gpt-neox-20b", 50432, 287159, 0x5e51e1bfd45c65f8u},
    {"tokenizers/olmo", 50304, 287159, 0x5e51e1bfd45c65f8u},
    {"tokenizers/tinyllama", 32000, 335687, 0xec46edd748ac3153u},
    {"tokenizers/smollm", 49152, 303415, 0xb70511543af7c998u},
    {"tokenizers/qwen2", 151936, 299078, 0xa8e457172fdc8b92u},
    {"tokenizers/llama2/tokenizer.model", 32000, 335687, 0xec46edd748ac3153u},
    {"tokenizers/llama2/tokenizer.bin", 32000, 335687, 0xec46edd748ac3153u},
    {"tokenizers/rwkv-world", 65536, 288177, 0x630dfe3b4c210fd5u},
    {"tokenizers/mistral-v0.1", 32000, 328879, 0x1637ead7f27cd54cu},
    {"tokenizers/llama3/tokenizer.model", 128256, 289076, 0xa420f69c749332f9u},
    {"checkpoints/bitllama-3M/tokenizer.model", 512, 809284, 0xf0b0b69c153e27d9u},
};

TEST(published_tokenizers) {
  std::string text = read_file(data_path("text/wikitext2.test.raw"));
  if (text.empty()) SKIP(no_data("text"));
  for (const Published& published : PUBLISHED) {
    convert::TokenizerInfo info;
    Section section(convert::build_tokenizer_section(data_path(published.path), published.vocab, &info));
    Tokenizer tokenizer;
    Status status = tokenizer.open(section.span(), published.vocab);
    CHECK_EQ(std::string(status.text()), std::string());
    Ids ids = encode(tokenizer, text);
    u64 hash = 0xcbf29ce484222325u;
    for (i32 id : ids)
      hash = (hash ^ static_cast<u64>(id)) * 0x100000001b3u;
    CHECK_EQ(ids.size(), published.ids);
    CHECK_EQ(hash, published.hash);
    // That tokenizer drops spaces at the ends and doubled ones.
    bool trims = published.vocab == 512;
    CHECK(trims || decode(tokenizer, ids) == text);
  }
}

// An added token of TinyLlama's with all flags: it is matched in text whose spaces are U+2581, which is no white space.
TEST(an_added_token_in_normalised_text) {
  std::string json = read_file(data_path("tokenizers/tinyllama/tokenizer.json"));
  if (json.empty()) SKIP(no_data("tokenizers/tinyllama"));
  const std::string list = "\"added_tokens\": [";
  json.insert(json.find(list) + list.size(),
              R"({"id":32000,"content":"foo bar","lstrip":true,"rstrip":true,"normalized":true,"special":false},)");
  Folder folder;
  write_file(folder / "tokenizer.json", json);
  convert::TokenizerInfo info;
  Section section(convert::build_tokenizer_section(folder / "tokenizer.json", 32001, &info));
  Tokenizer tokenizer;
  CHECK(tokenizer.open(section.span(), 32001).ok());
  CHECK_EQ(encode(tokenizer, "x  foo bar  y", {.add_bos = true}), (Ids{1, 921, 29871, 32000, 29871, 343}));
}
