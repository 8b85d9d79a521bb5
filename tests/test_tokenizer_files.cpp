// The files beside a tokenizer: what each field of them says of the tokens, which file goes before which, and the exact words where
// one cannot be read.
#include "check.h"
#include "convert/base/error.h"
#include "convert/base/mapped_file.h"
#include "convert/tokenizer/folder.h"
#include "files.h"
#include "text/section.h"

using namespace edgellm;

namespace {

using Files = std::vector<std::pair<std::string, std::string>>;

void fill(const Folder& folder, const Files& files) {
  for (const auto& [name, text] : files)
    write_file(folder / name, text);
}

template <class Body>
std::string said(const Folder& folder, Body body) {
  try {
    return body();
  } catch (const convert::Error& error) {
    CHECK(error.code == Code::bad_model);
    const std::string words = error.what();
    return "refused: " + (words.starts_with(folder.path + "/") ? words.substr(folder.path.size() + 1) : words);
  }
}

// Tokens with their ids and flags (s: special, l, r: strip, n: normalised), then what else the folder says.
std::string shown(const Files& files) {
  Folder folder;
  fill(folder, files);
  return said(folder, [&] {
    const convert::TokenizerFolder read = convert::read_tokenizer_folder(folder.path, nullptr);
    std::string out;
    for (const convert::DeclaredToken& token : read.tokens) {
      out += convert::text(token.content, "=", token.id, ":", token.flags & ADDED_SPECIAL ? "s" : "",
                           token.flags & ADDED_STRIP_LEFT ? "l" : "", token.flags & ADDED_STRIP_RIGHT ? "r" : "",
                           token.normalized ? "n" : "", " ");
    }
    out += "|" + read.bos_token + "|" + read.eos_token + "|" + read.chat_template + "|";
    out += read.add_bos ? *read.add_bos ? "+" : "-" : "?";
    out += read.is_llama ? "L" : "";
    out += read.legacy ? "o" : "";
    out += read.add_prefix_space ? *read.add_prefix_space ? " space" : " none" : "";
    return out;
  });
}

TEST(what_the_files_say) {
  const std::string config = "tokenizer_config.json", map = "special_tokens_map.json", added = "added_tokens.json";
  const std::pair<Files, const char*> rows[] = {
      {{}, "||||?o"},
      {{{config, "{}"}}, "||||?o"},
      {{{config, R"({"bos_token":"<s>","eos_token":{"content":"</s>"}})"}}, "<s>=-1:s </s>=-1:s |<s>|</s>||?o"},
      {{{config, R"({"bos_token":null,"pad_token":"","mask_token":7})"}}, "||||?o"},
      {{{config, R"({"sep_token":"a","pad_token":"b","cls_token":"c","mask_token":"d","unk_token":"e","x_token":"f"})"}},
       "e=-1:s a=-1:s b=-1:s c=-1:s d=-1:s f=-1:s ||||?o"},
      {{{config, R"({"a_token":"z","bos_token":"z"})"}}, "z=-1:s |z|||?o"},
      {{{config, R"({"pad_token":{"content":"p","lstrip":true,"rstrip":true,"normalized":true}})"}}, "p=-1:slrn ||||?o"},
      // Lists and objects of more.
      {{{config, R"({"extra_special_tokens":["x",{"content":"y","lstrip":true}]})"}}, "x=-1:s y=-1:sl ||||?o"},
      {{{config, R"({"extra_special_tokens":{"role":"x"},"additional_special_tokens":["y"]})"}}, "x=-1:s ||||?o"},
      {{{config, R"({"extra_special_tokens":[],"additional_special_tokens":["y"]})"}}, "y=-1:s ||||?o"},
      {{{config, R"({"extra_special_tokens":{},"additional_special_tokens":{"r":"y"}})"}}, "y=-1:s ||||?o"},
      // The map goes first, and does not count beside a list of all added tokens.
      {{{config, R"({"bos_token":"a","eos_token":"b"})"}, {map, R"({"bos_token":"c"})"}}, "c=-1:s b=-1:s |c|b||?o"},
      {{{config, R"({"bos_token":"a","added_tokens_decoder":{}})"}, {map, R"({"bos_token":"c"})"}}, "a=-1:s |a|||?o"},
      // Ids: by number, the named ones special.
      {{{config,
         R"({"added_tokens_decoder":{"9":{"content":"b"},"10":{"content":"a","special":true},"3":{"content":"c","rstrip":true,
          "normalized":false}},"pad_token":"b"})"}},
       "c=3:r b=9:sn a=10:s ||||?o"},
      {{{added, R"({"b":5,"a":4})"}, {map, R"({"pad_token":"b"})"}}, "a=4:n b=5:s ||||?o"},
      {{{config, R"({"added_tokens_decoder":{}})"}, {added, R"({"b":5})"}}, "||||?o"},
      // Options.
      {{{config, R"({"add_bos_token":true})"}}, "||||+o"},
      {{{config, R"({"add_bos_token":false,"add_prefix_space":true})"}}, "||||-o space"},
      {{{config, R"({"add_prefix_space":false,"legacy":false})"}}, "||||? none"},
      {{{config, R"({"tokenizer_class":"LlamaTokenizer"})"}}, "||||?L"},
      {{{config, R"({"tokenizer_class":"LlamaTokenizerFast","legacy":true})"}}, "||||?Lo"},
      {{{config, R"({"tokenizer_class":"GPT2Tokenizer"})"}}, "||||?o"},
      {{{"config.json", R"({"tokenizer_class":"LlamaTokenizer"})"}}, "||||?L"},
      {{{config, R"({"tokenizer_class":"X"})"}, {"config.json", R"({"tokenizer_class":"LlamaTokenizer"})"}}, "||||?o"},
      {{{config, R"({"tokenizer_class":"LlamaTokenizer"})"}, {"config.json", R"({"model_type":"mistral"})"}}, "||||?o"},
      // Templates.
      {{{config, R"({"chat_template":"t"})"}}, "|||t|?o"},
      {{{config, R"({"chat_template":[{"name":"rag","template":"r"},{"name":"default","template":"d"}]})"}}, "|||d|?o"},
      {{{config, R"({"chat_template":[{"name":"rag","template":"r"}]})"}}, "||||?o"},
      {{{config, R"({"chat_template":"t"})"}, {"chat_template.jinja", "j\n"}}, "|||j\n|?o"},
      // What cannot be read.
      {{{config, "[]"}}, "refused: tokenizer_config.json: is not an object"},
      {{{"config.json", "1"}}, "refused: config.json: is not an object"},
      {{{added, "[]"}}, "refused: added_tokens.json: is not an object"},
      {{{config, "{"}},
       "refused: tokenizer_config.json: not JSON: line 1, column 2: expected the name of a member, where it ends: it was "
       "cut, or never finished"},
      {{{config, R"({"added_tokens_decoder":[]})"}},
       "refused: tokenizer_config.json: \"added_tokens_decoder\" is not an object"},
      {{{config, R"({"added_tokens_decoder":{"1":"x"}})"}},
       "refused: tokenizer_config.json: added token 1 is not an object"},
      {{{config, R"({"added_tokens_decoder":{"1":{"content":""}}})"}},
       "refused: tokenizer_config.json: an added token without \"content\""},
      {{{config, R"({"added_tokens_decoder":{"-1":{"content":"a"}}})"}},
       "refused: tokenizer_config.json: added token with the id -1"},
      {{{config, R"({"added_tokens_decoder":{"1x":{"content":"a"}}})"}},
       "refused: tokenizer_config.json: added token with the id 1x"},
      {{{config, R"({"added_tokens_decoder":{"1":{"content":"a","lstrip":1}}})"}},
       "refused: tokenizer_config.json: added token a: \"lstrip\" is not true or false"},
      {{{added, R"({"a":-1})"}}, "refused: added_tokens.json: the id of a is not a token id"},
      {{{added, R"({"a":2147483648})"}}, "refused: added_tokens.json: the id of a is not a token id"},
      {{{config, R"({"legacy":1})"}}, "refused: tokenizer_config.json: \"legacy\" is not true or false"},
      {{{map, R"({"pad_token":{"content":"b","single_word":true}})"}},
       "refused: special_tokens_map.json: added token b: single_word is not supported"},
  };
  for (const auto& [files, expected] : rows) {
    std::string what;
    for (const auto& [name, text] : files)
      what += name + " " + text + " ";
    CHECK_EQ(what + "-> " + shown(files), what + "-> " + expected);
  }
}

TEST(ids_that_begin_and_end_a_text) {
  auto ids = [](const std::string& config, const std::string& generation) {
    Folder folder;
    if (!config.empty()) write_file(folder / "config.json", config);
    if (!generation.empty()) write_file(folder / "generation_config.json", generation);
    return said(folder, [&] {
      const convert::GenerationIds read = convert::read_generation_ids(folder.path, nullptr, 10);
      std::string out = read.bos ? std::to_string(*read.bos) : "-";
      for (u32 id : read.eos)
        out += " " + std::to_string(id);
      return out;
    });
  };
  CHECK_EQ(ids("", ""), "-");
  CHECK_EQ(ids(R"({"bos_token_id":1,"eos_token_id":2})", ""), "1 2");
  CHECK_EQ(ids(R"({"bos_token_id":1,"eos_token_id":2})", R"({"bos_token_id":3,"eos_token_id":[4,2]})"), "1 2 4");
  CHECK_EQ(ids(R"({"eos_token_id":[9]})", R"({"bos_token_id":[3,1]})"), "3 9");
  CHECK_EQ(ids(R"({"eos_token_id":10})", ""), "refused: config.json: eos_token_id 10, the model has 10 ids");
  CHECK_EQ(ids("", R"({"bos_token_id":[1,10]})"), "refused: generation_config.json: bos_token_id 10, the model has 10 ids");
}

}  // namespace
