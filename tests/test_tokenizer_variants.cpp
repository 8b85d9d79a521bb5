// Small tokenizer.json files, one for each setting that the converter reads: ids and texts as the `tokenizers` library gives them
// (tools/golden/tokenizer_variants.py); and settings that are refused, in their exact words.
#include "convert/base/error.h"
#include "convert/tokenizer/vocabulary.h"
#include "make_model.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

std::vector<u8> section_of(const std::string& json, convert::TokenizerInfo* info, i64 vocab = 600) {
  const std::string path = temporary_path("tokenizer.json");
  write_file(path, json);
  return convert::build_tokenizer_section(path, vocab, info);
}

TEST(each_setting_is_that_of_the_library) {
  const convert::Json all = golden("variants.json");
  const convert::Json::Array& texts = *all.find("texts")->array();
  size_t compared = 0;
  for (const convert::Json& one : *all.find("variants")->array()) {
    const convert::Json::Array& parts = *one.array();
    const std::string& name = *parts[0].string();
    convert::TokenizerInfo info;
    Section section(section_of(*parts[1].string(), &info));
    Tokenizer tokenizer;
    CHECK(tokenizer.open(section.span(), 600).ok());
    for (size_t i = 0; i < texts.size(); i++) {
      const std::string& text = *texts[i].string();
      const convert::Json::Array& expected = *(*parts[2].array())[i].array();
      std::ostringstream found, meant;
      const Ids ids = encode(tokenizer, text, {.add_bos = false, .parse_special = true});
      found << name << ": " << text << ": " << ids;
      meant << name << ": " << text << ": " << ids_of(expected[0]);
      if (expected[1].string()) {
        found << decode(tokenizer, ids, {.specials = true});
        meant << *expected[1].string();
      }
      CHECK_EQ(found.str(), meant.str());
      compared++;
    }
  }
  CHECK(compared > 400);
}

// A small byte-less tokenizer with parts replaced, and what is said of it.
std::string refusal(std::string model, const std::string& rest) {
  if (model.empty())
    model = R"({"type":"BPE","unk_token":"u","vocab":{"u":0,"a":1,"b":2,"ab":3,"\u2581":4},"merges":["a b"]})";
  try {
    convert::read_tokenizer_json(convert::parse_json("{\"model\":" + model + rest + "}", "x"), "x");
    return "taken";
  } catch (const convert::Error& error) {
    return error.what();
  }
}

TEST(what_is_refused) {
  auto bpe = [](const std::string& members) { return "{\"type\":\"BPE\"," + members + "}"; };
  const std::string vocab = R"("vocab":{"u":0,"a":1,"b":2,"ab":3},)", mark = "\"\\u2581\"";
  const std::string marks = R"(,"normalizer":{"type":"Replace","pattern":{"String":" "},"content":)" + mark + "}";
  auto pre = [](const std::string& step) { return ",\"pre_tokenizer\":" + step; };
  const std::string level = R"({"type":"ByteLevel","add_prefix_space":false})";
  const struct {
    std::string model, rest, words;
  } rows[] = {
      {"", "", "taken"},
      {"", marks, "taken"},
      {"1", "", "x: no \"model\""},
      {R"({"type":"Unigram"})", "", "x: a model of type Unigram, only BPE is supported"},
      {R"({"vocab":{}})", "", "x: a model of type ?, only BPE is supported"},
      {R"({"unk_token":"u","vocab":{"u":0},"merges":[]})", "", "taken"},
      {R"({"type":3})", "", "x: \"type\" is not a text"},
      {bpe(R"("merges":[])"), "", "x: no \"vocab\""},
      {bpe(R"("vocab":[],"merges":[])"), "", "x: no \"vocab\""},
      {bpe(R"("vocab":{"u":-1})"), "", "x: the id of u"},
      {bpe(R"("vocab":{"u":0.5})"), "", "x: the id of u"},
      {bpe(R"("vocab":{"u":2097152})"), "", "x: the id of u"},
      {bpe(R"("vocab":{"u":"0"})"), "", "x: the id of u"},
      {bpe(vocab + R"("merges":[])"), "", "x: neither byte_fallback nor an unknown token"},
      {bpe(vocab + R"("unk_token":"v","merges":[])"), "", "x: the unknown token v is not in the vocabulary"},
      {bpe(vocab + R"("byte_fallback":true,"merges":[])"), "", "taken"},
      {bpe(vocab + R"("byte_fallback":1,"merges":[])"), "", "x: \"byte_fallback\" is neither true nor false"},
      {bpe(vocab + R"("unk_token":"u","end_of_word_suffix":"</w>","merges":[])"), "",
       "x: \"end_of_word_suffix\" is not supported"},
      {bpe(vocab + R"("unk_token":"u","continuing_subword_prefix":"##","merges":[])"), "",
       "x: \"continuing_subword_prefix\" is not supported"},
      {bpe(vocab + R"("unk_token":"u")"), "", "x: no \"merges\""},
      {bpe(vocab + R"("unk_token":"u","merges":{})"), "", "x: no \"merges\""},
      {bpe(vocab + R"("unk_token":"u","merges":["ab"])"), "", "x: merge 0 is not two tokens: ab"},
      {bpe(vocab + R"("unk_token":"u","merges":["a b","a b c"])"), "", "x: merge 1 is not two tokens: a b c"},
      {bpe(vocab + R"("unk_token":"u","merges":[["a"]])"), "", "x: merge 0 is not two tokens"},
      {bpe(vocab + R"("unk_token":"u","merges":[["a",1]])"), "", "x: merge 0 is not two tokens"},
      {bpe(vocab + R"("unk_token":"u","merges":[["a","b"]])"), "", "taken"},
      {bpe(vocab + R"("unk_token":"u","merges":["a c"])"), "", "x: merge 0 of a and c is not in the vocabulary"},
      {bpe(vocab + R"("unk_token":"u","merges":["c a"])"), "", "x: merge 0 of c and a is not in the vocabulary"},
      {bpe(vocab + R"("unk_token":"u","merges":["b a"])"), "", "x: merge 0 of b and a is not in the vocabulary"},
      {bpe(R"("vocab":{"u":0,"a":1,"ua":2},"unk_token":"u","merges":["u a"])"), "",
       "x: merge 0 joins u, which stands for missing characters"},
      {bpe(R"("vocab":{"<0x41>":0,"a":1,"<0x41>a":2},"byte_fallback":true,"merges":["<0x41> a"])"), "",
       "x: merge 0 joins A, which stands for missing characters"},
      {bpe(R"("vocab":{"<0x41>":0,"a":1},"byte_fallback":true,"merges":[])"), pre(level),
       "x: byte_fallback with ByteLevel, and bytes are missing"},
      // Normalisers.
      {"", R"(,"normalizer":{"type":"NFKC"})", "x: the normaliser NFKC is not supported here"},
      {"", R"(,"normalizer":{"type":"Lowercase"})", "x: the normaliser Lowercase is not supported here"},
      {"", R"(,"normalizer":{"type":"NFC"})", "taken"},
      {"", R"(,"normalizer":{"type":"Sequence"})", "x: a Sequence without \"normalizers\""},
      {"", R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Strip"}]})",
       "x: the normaliser Strip is not supported here"},
      {"", R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"Sequence","normalizers":[{"type":"NFC"}]}]})",
       "taken"},
      {"", R"(,"normalizer":{"type":"Prepend","prepend":" "})", "x: the normaliser Prepend is not supported here"},
      {"", R"(,"normalizer":{"type":"Prepend","prepend":)" + mark + "}",
       "x: the normaliser prepends U+2581 and does not replace spaces"},
      {"", R"(,"normalizer":{"type":"Replace","pattern":{"String":"x"},"content":)" + mark + "}",
       "x: the normaliser Replace is not supported here"},
      {"", R"(,"normalizer":{"type":"Replace","pattern":{"Regex":" "},"content":)" + mark + "}",
       "x: the normaliser Replace is not supported here"},
      {"", R"(,"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"_"})",
       "x: the normaliser Replace is not supported here"},
      {"", marks + pre(level), "x: the normaliser Replace is not supported here"},
      {"",
       R"(,"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Replace","pattern":{"String":" "},"content":)" +
           mark + "}]}",
       "x: NFC together with marked spaces is not supported"},
      // Pre-tokenizers.
      {"", pre(R"({"type":"Whitespace"})"), "x: the pre-tokenizer Whitespace is not supported"},
      {"", pre(R"({"type":"Digits","individual_digits":false})"), "x: the pre-tokenizer Digits is not supported"},
      {"", pre(R"({"type":"Digits","individual_digits":true})"), "taken"},
      {"", pre(R"({"type":"Sequence","pretokenizers":[]})"), "x: an unknown pre-tokenizer"},
      {"", pre(R"({"type":"Sequence","pretokenizers":[)" + level + R"(,{"type":"Digits","individual_digits":true}]})"),
       "x: the pre-tokenizer Digits after ByteLevel is not supported"},
      {"", pre(R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"ByteLevel"}]})"),
       "x: ByteLevel with add_prefix_space after another pre-tokenizer"},
      {"", pre(R"({"type":"Split","pattern":{"Regex":"x"},"behavior":"Isolated"})"),
       "x: the pre-tokenizer splits (Isolated) by a regular expression that is not known: x"},
      {"", pre(R"({"type":"Split","pattern":{"String":" "},"behavior":"Isolated"})"), "x: an unknown pre-tokenizer"},
      {"", marks + pre(R"({"type":"Split","pattern":{"String":" "},"behavior":"Isolated"})"), "taken"},
      {"", pre(R"({"type":"Metaspace","replacement":"_"})"), "x: Metaspace with a mark of its own"},
      {"", pre(R"({"type":"Sequence","pretokenizers":[{"type":"Metaspace"},{"type":"Metaspace"}]})"),
       "x: the pre-tokenizer Metaspace is there twice"},
      {"",
       pre(R"({"type":"Sequence","pretokenizers":[{"type":"Digits","individual_digits":true},{"type":"Metaspace","prepend_scheme":"first"}]})"),
       "x: Metaspace with prepend_scheme first after another pre-tokenizer"},
      {"",
       pre(R"({"type":"Sequence","pretokenizers":[{"type":"Metaspace","split":false},{"type":"Split","pattern":{"String":" "}}]})"),
       "taken"},
      // Added tokens, decoders, templates.
      {"", R"(,"added_tokens":[{"content":"<s>","id":7,"single_word":true}])",
       "x: added token <s>: single_word is not supported"},
      {"", R"(,"added_tokens":[{"content":"<s>"}])", "x: the id of <s>"},
      {"", R"(,"added_tokens":[{"content":"ab"}])", "taken"},
      {"", R"(,"added_tokens":[{"content":"<s>","id":7,"special":1}])", "x: \"special\" is neither true nor false"},
      {"", R"(,"decoder":{"type":"WordPiece"})", "x: the decoder WordPiece is not supported"},
      {"", R"(,"decoder":{"type":"Metaspace"})", "x: the decoder Metaspace is not supported"},
      {"", R"(,"decoder":{"type":"Replace","pattern":{"String":)" + mark + R"(},"content":" "})",
       "x: the decoder Replace is not supported"},
      {"", marks + R"(,"decoder":{"type":"Replace","pattern":{"String":)" + mark + R"(},"content":" "})", "taken"},
      {"", marks + R"(,"decoder":{"type":"Replace","pattern":{"String":)" + mark + R"(},"content":"_"})",
       "x: the decoder Replace is not supported"},
      {"", R"(,"decoder":{"type":"Strip","content":"x"})", "x: the decoder Strip is not supported"},
      {"", R"(,"decoder":{"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"CTC"}]})",
       "x: the decoder CTC is not supported"},
      {"", R"(,"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]})",
       "x: the template's token <s> is in neither the vocabulary nor the added tokens"},
      {"", R"(,"post_processor":{"type":"TemplateProcessing","single":[]})", "taken"},
  };
  for (const auto& row : rows)
    CHECK_EQ(row.model + row.rest + " -> " + refusal(row.model, row.rest), row.model + row.rest + " -> " + row.words);
}

TEST(the_token_that_begins_a_text) {
  auto bos_of = [](const std::string& post) {
    const std::string text = R"({"model":{"type":"BPE","unk_token":"u","vocab":{"u":0,"a":1},"merges":[]},
        "added_tokens":[{"content":"<s>","id":5,"special":true}],"post_processor":)" +
                             post + "}";
    const convert::Vocabulary v = convert::read_tokenizer_json(convert::parse_json(text, "x"), "x");
    return std::to_string(v.bos) + (v.adds_bos ? "+" : "-");
  };
  CHECK_EQ(bos_of("null"), "-1-");
  CHECK_EQ(bos_of(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}}]})"),
           "5+");
  CHECK_EQ(bos_of(R"({"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a"}}]})"), "1+");
  CHECK_EQ(bos_of(R"({"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"<s>"}}]})"),
           "-1-");
  CHECK_EQ(bos_of(R"({"type":"ByteLevel","single":[{"SpecialToken":{"id":"<s>"}}]})"), "-1-");
  CHECK_EQ(bos_of(R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>"}}]}]})"),
           "5+");
}

}  // namespace
