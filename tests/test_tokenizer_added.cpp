// Added tokens: where each of their flags lets them match, and the files beside a tokenizer that name them. Both against
// what Hugging Face's libraries make of them (tools/golden/tokenizer_golden.py, tokenizer_folders.py).
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

#include "convert/base/error.h"
#include "convert/base/json.h"
#include "convert/chat/chat.h"
#include "convert_sources.h"
#include "text/chat_template.h"
#include "tokenizer_test.h"

using namespace edgellm;
using convert::Json;
using sources::written;

// A tokenizer as the converter makes it of a folder, or of a file in it.
struct Built {
  convert::TokenizerInfo info;
  Section section;
  Tokenizer tokenizer;

  Built(const std::string& path, i32 vocab) : section(convert::build_tokenizer_section(path, vocab, &info)) {
    Status status = tokenizer.open(section.span(), vocab);
    if (!status.ok()) check::failed(__FILE__, __LINE__, status.text());
  }
  Ids special(const std::string& text) const { return encode(tokenizer, text, {.parse_special = true}); }
};

TEST(added_tokens_match_where_their_flags_say) {
  const Json added = golden("added.json");
  for (const Json& one : *added.array()) {
    Json tokenizer = golden(*one.find("tokenizer")->string() + "/tokenizer.json");
    Json::Object changed;
    for (const auto& [key, value] : *tokenizer.object()) {
      const Json* other = one.find("changes")->find(key);
      changed.emplace_back(key, other ? *other : value);
    }
    Folder folder;
    write_file(folder / "tokenizer.json", written(Json(changed)));
    Built built(folder.path, 1000);
    const Json::Array& texts = *one.find("texts")->array();
    for (size_t i = 0; i < texts.size(); i++) {
      const std::string& text = *texts[i].string();
      CHECK_EQ(encode(built.tokenizer, text), ids_of((*one.find("ids")->array())[i]));
      CHECK_EQ(built.special(text), ids_of((*one.find("special")->array())[i]));
    }
  }
}

// Where nothing is normalised, special tokens of the second group too stay out of what somebody says, and only out of that.
TEST(plain_parts) {
  Folder folder;
  write_file(folder / "tokenizer.json",
             R"({"model":{"type":"BPE","unk_token":"a","vocab":{"a":0,"b":1,"<":2,"e":3,">":4},"merges":[]},"added_tokens":[
                 {"id":5,"content":"<e>","special":true,"normalized":true}]})");
  Built built(folder.path, 6);
  const std::string text = "<e>b<e>";
  const Text said = view(text).slice(3, 4);
  CHECK_EQ(encode(built.tokenizer, text, {.parse_special = true, .plain = {&said, 1}}), (Ids{5, 1, 2, 3, 4}));
}

static std::unique_ptr<Folder> folder_of(const Json& one) {
  auto folder = std::make_unique<Folder>();
  for (const Json& file : *one.find("tokenizer")->array()) {
    const std::string& name = *file.string();
    std::filesystem::copy_file(GOLDEN_TOKENIZERS + name, *folder / name.substr(name.find('/') + 1));
  }
  for (const auto& [name, content] : *one.find("files")->object())
    write_file(*folder / name, *content.string());
  return folder;
}

TEST(files_beside_a_tokenizer) {
  const Json folders = golden("folders.json");
  for (const Json& one : *folders.array()) {
    auto folder = folder_of(one);
    Built built(folder->path, static_cast<i32>(*one.find("vocab")->number()));
    const Json::Array& texts = *one.find("texts")->array();
    const Ids special = ids_of(*one.find("special"));
    for (size_t i = 0; i < texts.size(); i++) {
      const Ids ids = built.special(*texts[i].string());
      CHECK_EQ(ids, ids_of((*one.find("ids")->array())[i]));
      for (i32 id : ids)
        CHECK_EQ(built.tokenizer.special(id), std::find(special.begin(), special.end(), id) != special.end());
    }
    const Json* eos = one.find("eos");
    CHECK_EQ(built.info.eos, eos ? static_cast<i64>(*eos->number()) : i64{-1});
    CHECK_EQ(built.info.stop.size(), eos ? size_t{1} : size_t{0});
  }
}

// From the folder's template to ids: as transformers' apply_chat_template.
TEST(a_chat_with_tokens_that_were_added) {
  i32 compared = 0;
  const Json folders = golden("folders.json");
  for (const Json& one : *folders.array()) {
    const Json* expected = one.find("chat");
    if (!expected) continue;
    auto folder = folder_of(one);
    Built built(folder->path, static_cast<i32>(*one.find("vocab")->number()));
    const convert::Chat chat = convert::chat_of_jinja(built.info.chat_template, built.info.bos_token, built.info.eos_token);
    CHECK_EQ(chat.name, std::string("chatml"));
    const ChatTemplate form = convert::view(chat);
    std::vector<char> buffer(1000);
    Text said[8];
    ChatWriter writer(form, {buffer.data(), 1000}, {said, 8});
    writer.begin("to the end");
    writer.user(" the end");
    writer.assistant("a b");
    writer.user("to");
    writer.answer();
    CHECK(!writer.full());
    CHECK_EQ(encode_view(built.tokenizer, writer.text(), {.parse_special = true, .plain = writer.said()}),
             ids_of(*expected));
    compared++;
  }
  CHECK(compared >= 14);
}

static std::string refusal(const std::map<std::string, std::string>& files, i64 vocab = 700,
                           const std::string& tokenizer = "llama/tokenizer.json") {
  Folder folder;
  std::filesystem::copy_file(GOLDEN_TOKENIZERS + tokenizer, folder / tokenizer.substr(tokenizer.find('/') + 1));
  for (const auto& [name, content] : files)
    write_file(folder / name, content);
  try {
    convert::TokenizerInfo info;
    (void)convert::build_tokenizer_section(folder.path, vocab, &info);
  } catch (const convert::Error& error) {
    std::string text = error.what();
    for (size_t at; (at = text.find(folder.path + "/")) != std::string::npos;)
      text.erase(at, folder.path.size() + 1);
    return text;
  }
  return {};
}

// The tables of a tokenizer.json, with what it says of the first space beside them.
TEST(a_space_before_tables) {
  const std::string json = read_file(GOLDEN_TOKENIZERS + "gpt2/tokenizer.json");
  const Json tokenizer = convert::parse_json(json, "gpt2");
  const Json* model = tokenizer.find("model");
  Folder folder;
  write_file(folder / "vocab.json", written(*model->find("vocab")));
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : *model->find("merges")->array())
    merges += *(*merge.array())[0].string() + " " + *(*merge.array())[1].string() + "\n";
  write_file(folder / "merges.txt", merges);
  write_file(folder / "tokenizer_config.json", R"({"add_prefix_space":true,"bos_token":"<|bos|>","add_bos_token":true})");
  Built tables(folder.path, 700), whole(GOLDEN_TOKENIZERS + "gpt2", 700);
  CHECK_EQ(tables.tokenizer.bos(), whole.tokenizer.bos());
  const Json texts = golden("texts.json");
  for (const Json& text : *texts.array())
    CHECK_EQ(encode(tables.tokenizer, *text.string(), {.add_bos = true}),
             encode(whole.tokenizer, *text.string(), {.add_bos = true}));
  CHECK_EQ(
      refusal({{"merges.txt", read_file(GOLDEN_TOKENIZERS + "digits/merges.txt")},
               {"tokenizer_config.json", R"({"add_prefix_space":true})"}},
              700, "digits/vocab.json"),
      std::string("vocab.json: add_prefix_space with a vocabulary whose words are not cut as GPT-2's is not supported"));
}

// Pieces that only merges know move behind the ids that are added, and everything else stays as it was.
TEST(added_ids_change_no_other_text) {
  const Json texts = golden("texts.json");
  for (const char* name : {"sentencepiece/tokenizer.model", "trimmed/tokenizer.model", "llama2c/tokenizer.bin"}) {
    Folder folder;
    const std::string file = std::string(name).substr(std::string(name).find('/') + 1);
    std::filesystem::copy_file(GOLDEN_TOKENIZERS + name, folder / file);
    Built before(folder.path, 700);
    write_file(folder / "added_tokens.json", R"({"\u00e9<new>":640,"<end>":650})");
    Built after(folder.path, 700);
    CHECK_EQ(after.info.ids, i64{651});
    for (const Json& text : *texts.array())
      CHECK_EQ(encode(after.tokenizer, *text.string()), encode(before.tokenizer, *text.string()));
    CHECK_EQ(decode(after.tokenizer, {640, 645, 650}), std::string("\xc3\xa9<new><end>"));
    CHECK_EQ(after.tokenizer.find_added("\xc3\xa9<new>"), 640);
  }
}

// An id that ends a text and that no file gives a text: a stop all the same.
TEST(ids_without_a_name) {
  for (const char* file : {"config.json", "generation_config.json"}) {
    Folder folder;
    std::filesystem::copy_file(GOLDEN_TOKENIZERS + "metaspace/tokenizer.json", folder / "tokenizer.json");
    const i64 ids = Built(folder.path, 900).info.ids;
    write_file(folder / file, "{\"eos_token_id\":[899," + std::to_string(ids + 1) + "]}");
    Built built(folder.path, 900);
    CHECK_EQ(built.info.eos, ids + 1);
    CHECK((built.info.stop == std::vector<u32>{static_cast<u32>(ids + 1), 899}));
    const i32 unused = static_cast<i32>(ids + 1);
    CHECK_EQ(built.tokenizer.piece(unused).size, i64{0});
    CHECK(!built.tokenizer.special(unused));
    CHECK_EQ(decode(built.tokenizer, {unused, unused - 1}, {.specials = true}), std::string());
  }
}

TEST(what_a_folder_cannot_mean_is_named) {
  const std::string model = "sentencepiece/tokenizer.model";
  CHECK_EQ(refusal({{"added_tokens.json", R"({"<a>":799,"<b>":800})"}}, 800),
           std::string("added_tokens.json: the added token <b> has the id 800, the model has 800 ids"));
  CHECK_EQ(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder":{"700":{"content":"<b>"}}})"}}, 700, model),
           std::string("tokenizer_config.json: the added token <b> has the id 700, the model has 700 ids"));
  CHECK_EQ(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder":{"7":{"content":"<b>"}}})"}}, 900),
           std::string("tokenizer_config.json: the added token <b> has the id 7, which is \"\x04\" in tokenizer.json"));
  CHECK_EQ(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder":{"x":{"content":"<b>"}}})"}}, 900),
           std::string("tokenizer_config.json: added token with the id x"));
  CHECK_EQ(refusal({{"tokenizer_config.json", R"({"added_tokens_decoder":{"5":{}}})"}}, 900),
           std::string("tokenizer_config.json: an added token without \"content\""));
  CHECK_EQ(refusal({{"tokenizer_config.json", R"({"pad_token":{"content":"<b>","single_word":true}})"}}, 900),
           std::string("tokenizer_config.json: added token <b>: single_word is not supported"));
  CHECK_EQ(refusal({{"added_tokens.json", R"({"<b>":"1"})"}}, 900),
           std::string("added_tokens.json: the id of <b> is not a token id"));
  CHECK_EQ(refusal({{"special_tokens_map.json", "[]"}}, 900), std::string("special_tokens_map.json: is not an object"));
  CHECK_EQ(refusal({{"generation_config.json", R"({"eos_token_id":[2,900]})"}}, 900),
           std::string("generation_config.json: eos_token_id 900, the model has 900 ids"));
  // A name for a token that no id of the model is left for says nothing about the model.
  Folder folder;
  std::filesystem::copy_file(GOLDEN_TOKENIZERS + model, folder / "tokenizer.model");
  write_file(folder / "special_tokens_map.json", R"({"pad_token":"[PAD]"})");
  CHECK_EQ(Built(folder.path, 600).info.ids, i64{600});
  CHECK_EQ(Built(folder.path, 601).tokenizer.find_added("[PAD]"), 600);
}
