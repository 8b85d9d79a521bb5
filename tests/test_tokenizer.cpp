// Tokenizers against the ids of their references (tools/golden/tokenizer_golden.py), streaming, limits and hostile sections.
#include <algorithm>
#include <map>
#include <random>

#include "convert/base/error.h"
#include "convert/base/json.h"
#include "convert/tokenizer/folder.h"
#include "tokenizer_test.h"

using namespace edgellm;
using convert::Json;

static const std::map<std::string, std::string> SOURCES = {
    {"gpt2", "tokenizer.json"},
    {"llama3", "tokenizer.json"},
    {"qwen2", "tokenizer.json"},
    {"partial", "tokenizer.json"},
    {"llama", "tokenizer.json"},
    {"metaspace", "tokenizer.json"},
    {"digits", "vocab.json"},
    {"sentencepiece", "tokenizer.model"},
    {"trimmed", "tokenizer.model"},
    {"llama2c", "tokenizer.bin"},
    {"world", "rwkv_vocab.txt"},
    {"unknown/cut", "tokenizer.json"},
    {"unknown/uncut", "tokenizer.json"},
    {"unknown/each", "tokenizer.json"},
    {"unknown/whole", "tokenizer.json"},
    {"unknown/some_bytes", "tokenizer.json"},
    {"unknown/left_out", "tokenizer.json"},
    {"unknown/sentencepiece", "tokenizer.model"},
    {"unknown/no_space", "tokenizer.model"},
};

static std::vector<u8> build(const std::string& name, convert::TokenizerInfo* info = nullptr) {
  convert::TokenizerInfo ignored;
  return convert::build_tokenizer_section(GOLDEN_TOKENIZERS + name, 1000, info ? info : &ignored);
}

struct Loaded {
  Section section;
  Tokenizer tokenizer;

  explicit Loaded(const std::vector<u8>& bytes, i32 vocab = 1000) : section(bytes) {
    Status status = tokenizer.open(section.span(), vocab);
    if (!status.ok()) check::failed(__FILE__, __LINE__, status.text());
  }
};

// The texts that the tokenizer `name` was asked for.
static Json texts_of(const std::string& name) {
  return golden(name.substr(0, name.find('/') + 1) + "texts.json");
}

TEST(ids_are_those_of_the_references) {
  for (const auto& [name, file] : SOURCES) {
    Loaded loaded(build(name));
    Json texts = texts_of(name);
    Json expected = golden(name + "/expected.json");
    for (size_t i = 0; i < texts.array()->size(); i++) {
      const std::string& text = *(*texts.array())[i].string();
      // A string of C ends at a zero byte.
      if (name == "llama2c" && text.find('\0') != std::string::npos) continue;
      Ids ids = ids_of((*expected.find("ids")->array())[i]);
      CHECK_EQ(encode(loaded.tokenizer, text), ids);
      const Json* special = expected.find("special")->find(std::to_string(i));
      if (file.starts_with("tokenizer.json")) {  // whose references know no special tokens in text
        CHECK_EQ(encode(loaded.tokenizer, text, {.parse_special = true}), special ? ids_of(*special) : ids);
      }
      const Json* decoded = expected.find("decoded")->find(std::to_string(i));
      bool control = file == "tokenizer.model";  // sentencepiece never prints control pieces
      if (name != "llama2c")
        CHECK_EQ(decode(loaded.tokenizer, ids, {.specials = !control}), decoded ? *decoded->string() : text);
    }
  }
}

TEST(every_text_comes_back) {
  Json texts = golden("texts.json");
  for (const char* name : {"llama3", "digits", "gpt2", "sentencepiece", "llama2c", "world"}) {
    Loaded loaded(build(name));
    bool prefix = std::string(name) == "gpt2";
    for (const Json& text : *texts.array()) {
      const std::string& expected = *text.string();
      if (!prefix && expected.find("\xe2\x96\x81") != std::string::npos) continue;  // is a space afterwards
      std::string back = decode(loaded.tokenizer, encode(loaded.tokenizer, expected));
      CHECK_EQ(back, prefix && !expected.empty() && expected[0] != ' ' ? " " + expected : expected);
    }
  }
}

// Bytes that are not UTF-8 survive byte-level vocabularies and become U+FFFD on the way out: one for each maximal part, or each
// byte in SentencePiece.
TEST(broken_utf8) {
  const std::string stray =
      "a\x80"
      "b\xe4\xb8"
      "c\xf0\x9f\x91"
      "\xed\xa0\x80\xff";
  const std::string r = "\xef\xbf\xbd";
  Loaded bytes(build("llama3"));
  std::string raw;
  for (i32 id : encode(bytes.tokenizer, stray)) {
    Text piece = bytes.tokenizer.piece(id);
    raw.append(piece.data, static_cast<size_t>(piece.size));
  }
  CHECK_EQ(raw, stray);
  CHECK_EQ(decode(bytes.tokenizer, encode(bytes.tokenizer, stray)), "a" + r + "b" + r + "c" + r + r + r + r + r);
  Loaded pieces(build("sentencepiece"));
  CHECK_EQ(decode(pieces.tokenizer, encode(pieces.tokenizer, stray)),
           "a" + r + "b" + r + r + "c" + r + r + r + r + r + r + r);
  // The bytes of a piece by themselves, as a model may say them.
  auto byte = [&](u8 b) { return 5 + static_cast<i32>(b); };
  CHECK_EQ(decode(pieces.tokenizer, {byte(0xe4), byte(0xb8), byte('A')}), r + r + "A");
  CHECK_EQ(decode(pieces.tokenizer, {byte(0xe4), byte(0xb8), byte(0x96)}), std::string("\xe4\xb8\x96"));
  const i32 start = pieces.tokenizer.bos();  // not printed, but no character goes across it
  CHECK_EQ(decode(pieces.tokenizer, {byte(0xe4), start, byte(0xb8), byte(0x96)}), r + r + r);
  CHECK_EQ(decode(pieces.tokenizer, {byte(0xe4), byte(0xb8), start, byte('A')}), r + r + "A");
}

TEST(streaming_holds_back_half_characters) {
  std::vector<u8> section = convert::build_byte_tokenizer_section(300);
  Loaded loaded(section, 300);
  Ids ids = encode(loaded.tokenizer, "a\xf0\x9f\x91\x8d");
  CHECK_EQ(ids, (Ids{'a', 0xf0, 0x9f, 0x91, 0x8d}));
  Decoder decoder(loaded.tokenizer);
  std::vector<std::string> parts;
  for (i32 id : ids) {
    decoder.push(id);
    std::string part;
    for (Text text; (text = decoder.take()).size != 0;)
      part.append(text.data, static_cast<size_t>(text.size));
    parts.push_back(part);
  }
  CHECK((parts == std::vector<std::string>{"a", "", "", "", "\xf0\x9f\x91\x8d"}));
  decoder.push(0xf0);
  CHECK_EQ(decoder.take().size, i64{0});
  decoder.finish();
  CHECK(decoder.take() == Text("\xef\xbf\xbd"));
  CHECK_EQ(decoder.take().size, i64{0});
  decoder.push('b');
  CHECK(decoder.take() == Text("b"));
}

TEST(first_space) {
  Loaded loaded(build("sentencepiece"));
  Ids ids = encode(loaded.tokenizer, "the end", {.add_bos = true});
  CHECK_EQ(ids[0], 1);
  CHECK_EQ(decode(loaded.tokenizer, ids), std::string("the end"));
  CHECK_EQ(decode(loaded.tokenizer, ids, {.continues = true}), std::string(" the end"));
  CHECK_EQ(decode(loaded.tokenizer, ids, {.specials = true}), std::string("<s> the end"));
}

TEST(special_tokens) {
  convert::TokenizerInfo info;
  Loaded loaded(build("gpt2", &info));
  CHECK_EQ(info.bos, i64{0});
  CHECK_EQ(loaded.tokenizer.bos(), 0);
  CHECK_EQ(loaded.tokenizer.find_added("<|eos|>"), 1);
  CHECK_EQ(loaded.tokenizer.find_added("<|eos|"), -1);
  CHECK_EQ(loaded.tokenizer.find_added("<|eos|> "), -1);
  CHECK(loaded.tokenizer.special(0));
  CHECK(!loaded.tokenizer.special(2));
  CHECK(!loaded.tokenizer.special(-1));
  CHECK(!loaded.tokenizer.special(1000000));
  CHECK_EQ(loaded.tokenizer.piece(-1).size, i64{0});
  CHECK_EQ(loaded.tokenizer.piece(1000000).size, i64{0});
  CHECK_EQ(encode(loaded.tokenizer, "<|eos|>", {.add_bos = true, .parse_special = true}), (Ids{0, 1}));
}

TEST(too_little_memory_is_named) {
  Loaded loaded(build("llama3"));
  std::vector<u64> workspace(4096);
  Ids ids(2);
  i32 count = 7;
  Span<u8> space{reinterpret_cast<u8*>(workspace.data()), 64};
  Status status = loaded.tokenizer.encode("hello", {}, space, {ids.data(), 2}, &count);
  CHECK_EQ(std::string(status.text()), std::string("tokenizing 5 bytes needs an aligned workspace of 256 bytes, it has 64"));
  CHECK_EQ(count, 0);
  space.count = 8 * 4096;
  status = loaded.tokenizer.encode("1.2", {}, space, {ids.data(), 2}, &count);
  CHECK_EQ(std::string(status.text()), std::string("the text has 3 tokens, there is room for 2"));
  CHECK_EQ(count, 0);
  Tokenizer none;
  CHECK(!none.encode("x", {}, space, {ids.data(), 2}, &count).ok());
}

// A word as long as the text: the time must not grow with its square, and the heap's bound must hold.
TEST(long_words) {
  for (const char* name : {"llama3", "qwen2", "sentencepiece", "world"}) {
    Loaded loaded(build(name));
    for (const char* part : {"a", "ba", "the", "\xcc\x81\xcc\xa3", "\xff", " ", "\n", "7"}) {
      std::string text;
      while (text.size() < 300000)
        text += part;
      i64 bytes = 0;
      for (i32 id : encode(loaded.tokenizer, text))
        bytes += loaded.tokenizer.piece(id).size;
      bool replaced = std::string(name) == "sentencepiece" && part[0] == '\xff';
      i64 prefix = std::string(name) == "sentencepiece";
      CHECK(bytes == view(text).size * (replaced ? 3 : 1) + prefix);
    }
  }
}

// Uses whatever a section gives, as the engine would.
static void use(Span<const u8> section, const std::string& text) {
  Tokenizer tokenizer;
  if (!tokenizer.open(section, 1000).ok()) return;
  for (bool special : {false, true}) {
    Status status;
    Ids ids = encode(tokenizer, text, {.add_bos = true, .parse_special = special}, &status);
    for (i32 id : ids)
      CHECK(id >= 0 && id < 1000);
    (void)decode(tokenizer, ids, {.specials = special});
  }
  Ids all;
  for (i32 id = -1; id < 1001; id++)
    all.push_back(id);
  (void)decode(tokenizer, all);
  (void)tokenizer.find_added("<|a|>");
}

static const std::string MIXED =
    " the caf\xc3\xa9 123 <|a|>b <s> ::\t\n'LL \xe2\x96\x81 \xe4\xb8\x96\xcc\x81 \xff<|end|>  <pad>";

TEST(every_truncated_length) {
  for (const auto& [name, file] : SOURCES) {
    std::vector<u8> bytes = build(name);
    for (size_t length = 0; length < bytes.size(); length++) {
      Section section(std::vector<u8>(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)));
      use(section.span(), MIXED);
    }
  }
}

TEST(damaged_sections) {
  std::mt19937 random(1);
  for (const auto& [name, file] : SOURCES) {
    std::vector<u8> bytes = build(name);
    for (int round = 0; round < 400; round++) {
      Section section(bytes);
      size_t span = round % 2 ? bytes.size() : sizeof(TokenizerHeader);
      for (u32 i = 0; i <= random() % 64; i++)
        section.data()[random() % span] ^= static_cast<u8>(random() % 3 ? 1u << random() % 8 : random());
      use(section.span(), MIXED);
    }
  }
}

static std::string error_of(const std::string& json) {
  std::string path = std::string(std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp") + "/edgellm_test_tokenizer.json";
  std::ofstream(path) << json;
  std::string error;
  try {
    convert::TokenizerInfo info;
    (void)convert::build_tokenizer_section(path, 1000, &info);
  } catch (const convert::Error& thrown) {
    error = thrown.what();
    error = error.substr(std::min(error.size(), path.size() + 2));
  }
  std::remove(path.c_str());
  return error;
}

TEST(what_is_not_supported_is_named) {
  const std::string model = R"("model":{"type":"BPE","unk_token":"a","vocab":{"a":0,"b":1},"merges":[]})";
  CHECK_EQ(error_of("{" + model + "}"), std::string());
  CHECK_EQ(error_of(R"({"model":{"type":"Unigram","vocab":[]}})"),
           std::string("a model of type Unigram, only BPE is supported"));
  CHECK_EQ(error_of(R"({"model":{"type":"WordPiece","vocab":{}}})"),
           std::string("a model of type WordPiece, only BPE is supported"));
  CHECK_EQ(error_of(R"({"normalizer":{"type":"Lowercase"},)" + model + "}"),
           std::string("the normaliser Lowercase is not supported here"));
  CHECK_EQ(error_of(R"({"pre_tokenizer":{"type":"BertPreTokenizer"},)" + model + "}"),
           std::string("the pre-tokenizer BertPreTokenizer is not supported"));
  CHECK_EQ(error_of(R"({"pre_tokenizer":{"type":"Split","pattern":{"Regex":"x+"},"behavior":"Isolated"},)" + model + "}"),
           std::string("the pre-tokenizer splits (Isolated) by a regular expression that is not known: x+"));
  CHECK_EQ(error_of(R"({"model":{"type":"BPE","unk_token":"a","vocab":{"a":0},"merges":["a b"]}})"),
           std::string("merge 0 of a and b is not in the vocabulary"));
  CHECK_EQ(error_of(R"({"model":{"type":"BPE","unk_token":"a","vocab":{"a":1000},"merges":[]}})"),
           std::string("1001 ids, the model has 1000"));
  // Tokens of one id are one entry.
  std::string one = "\"?\":0";
  for (u32 i = 0; i < 128; i++)
    one += ",\"" + std::to_string(i) + "\":1";
  CHECK_EQ(error_of(R"({"model":{"type":"BPE","unk_token":"?","ignore_merges":true,"merges":[],"vocab":{)" + one + "}}}"),
           std::string());
  CHECK_EQ(error_of("what"), std::string("no tokenizer known: expected ") + convert::TOKENIZER_FILES);
}

// What the reference does in an order that the runtime does not have.
TEST(steps_that_do_not_go_together_are_named) {
  const std::string model = R"("model":{"type":"BPE","unk_token":"<unk>","vocab":{"<unk>":0,"\u2581":1,"a":2},"merges":[]})";
  auto cut = [&](const std::string& steps) {
    return error_of(R"({"pre_tokenizer":{"type":"Sequence","pretokenizers":[)" + steps + "]}," + model + "}");
  };
  auto metaspace = [](const std::string& scheme) {
    return R"({"type":"Metaspace","replacement":"\u2581","split":true,"prepend_scheme":")" + scheme + "\"}";
  };
  const std::string digits = R"({"type":"Digits","individual_digits":true})";
  const std::string at_spaces = R"({"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious"})";
  const std::string gpt2 =
      R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+)"
      R"(| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}})";
  CHECK_EQ(cut(metaspace("always")), std::string());
  CHECK_EQ(cut(metaspace("always") + "," + digits), std::string());
  CHECK_EQ(cut(digits + "," + metaspace("never")), std::string());
  CHECK_EQ(cut(metaspace("always") + "," + at_spaces), std::string());
  CHECK_EQ(cut(gpt2), std::string());
  CHECK_EQ(cut(digits + "," + metaspace("first")),
           std::string("Metaspace with prepend_scheme first after another pre-tokenizer"));
  CHECK_EQ(cut(metaspace("never") + "," + metaspace("first")), std::string("the pre-tokenizer Metaspace is there twice"));
  CHECK_EQ(cut(at_spaces + "," + metaspace("never")),
           std::string("the pre-tokenizer splits at spaces, which is not supported"));
  const std::string regex = "a pre-tokenizer that splits by a regular expression, with spaces that become U+2581";
  CHECK_EQ(cut(gpt2 + "," + metaspace("never")), regex);
  CHECK_EQ(cut(metaspace("never") + "," + gpt2), regex);
}

TEST(what_stands_for_missing_characters) {
  auto bpe = [](const std::string& vocab, const std::string& merges, const std::string& more = "") {
    return R"("model":{"type":"BPE","unk_token":"<unk>","vocab":{"<unk>":0,)" + vocab + R"(},"merges":[)" + merges + "]" +
           more + "}}";
  };
  const std::string marks = R"({"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"\u2581"},)";
  const std::string bytes = R"({"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false},)";
  const std::string fallback = R"(,"byte_fallback":true)";
  CHECK_EQ(error_of("{" + bpe(R"("a":1,"<unk>a":2)", R"("<unk> a")")),
           std::string("merge 0 joins <unk>, which stands for missing characters"));
  CHECK_EQ(error_of(bytes + bpe(R"("a":1,"<unk>a":2)", R"("<unk> a")")),
           std::string("merge 0 joins <unk>, which stands for missing characters"));
  CHECK_EQ(error_of("{" + bpe(R"("a":1,"<0x41>":2,"a<0x41>":3)", R"("a <0x41>")", fallback)),
           std::string("merge 0 joins A, which stands for missing characters"));
  CHECK_EQ(error_of("{" + bpe(R"("a":1,"<0x41>":2,"a<0x41>":3)", R"("a <0x41>")")), std::string());
  CHECK_EQ(error_of(bytes + bpe(R"("a":1,"<0x41>":2)", "", fallback)),
           std::string("byte_fallback with ByteLevel, and bytes are missing"));
  CHECK_EQ(error_of(marks + bpe(R"("a":1,"<0x41>":2)", "", fallback)),
           std::string("marks spaces by U+2581 and has no piece for it"));
  CHECK_EQ(error_of(marks + bpe(R"("a":1,"\u2581":2)", "", fallback)), std::string());
  // Without marks U+2581 is a character like others, and the decoder must not show it as a space.
  const std::string shows = R"({"decoder":{"type":"Replace","pattern":{"String":"\u2581"},"content":" "},)";
  CHECK_EQ(error_of(shows + bpe(R"("a":1)", "")), std::string("the decoder Replace is not supported"));
}

TEST(word_splits_are_inferred) {
  Loaded loaded(build("digits"));
  const TokenizerHeader& h = *reinterpret_cast<const TokenizerHeader*>(loaded.section.data());
  CHECK_EQ(static_cast<int>(h.splits[0]), static_cast<int>(WordSplit::digits));
  CHECK_EQ(static_cast<int>(h.splits[1]), static_cast<int>(WordSplit::gpt2));
}

static std::string json_error(const std::string& text) {
  try {
    (void)convert::parse_json(text, "x");
  } catch (const convert::Error& error) {
    return error.what();
  }
  return {};
}

TEST(json) {
  Json json = convert::parse_json(
      R"( {"a": [1, -2.5e1, true, null, "\u00e9\ud83d\udc4d\ud800\n"], "a": {"b": ""}, "c": null} )", "x");
  CHECK(json.find("a")->object() != nullptr);  // of equal names the last
  CHECK(json.find("c") == nullptr);
  const Json& first = (*json.object())[0].second;
  CHECK_EQ(*(*first.array())[1].number(), -25.0);
  CHECK_EQ(*(*first.array())[4].string(), std::string("\xc3\xa9\xf0\x9f\x91\x8d\xef\xbf\xbd\n"));
  CHECK_EQ(json_error("{\n \"a\": tru}"), std::string("x: not JSON: line 2, column 7: expected a value"));
  CHECK_EQ(json_error("[1,]"), std::string("x: not JSON: line 1, column 4: expected a value"));
  for (const char* bad : {"", "{", "[01]", "[-]", "[+1]", "[.5]", "[1] 2", "[\"\t\"]", "[\"\\x\"]", "[\"\\u12g4\"]", "{a:1}",
                          "[nul]", "\"a"}) {
    CHECK(!json_error(bad).empty());
  }
  CHECK_EQ(json_error(std::string(100000, '[')), std::string("x: not JSON: line 1, column 130: nested too deeply"));
}
