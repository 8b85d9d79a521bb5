// Tokenizers in GGUF files: the same section, to the byte, as from the files that they were made of.
#include <algorithm>

#include "convert/base/error.h"
#include "convert/base/json.h"
#include "convert/base/protobuf.h"
#include "data_path.h"
#include "gguf_source.h"
#include "make_model.h"
#include "tokenizer_test.h"

using namespace edgellm;

namespace {

enum Type { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

struct Tokens {
  std::vector<std::string> texts;
  std::vector<f32> scores;
  std::vector<i32> types;

  void set(size_t id, const std::string& text, i32 type, f32 score = 0) {
    if (id >= texts.size()) texts.resize(id + 1), scores.resize(id + 1), types.resize(id + 1, UNUSED);
    texts[id] = text;
    scores[id] = score;
    types[id] = type;
  }
};

sources::Gguf gguf_of(const Tokens& tokens, const std::string& model) {
  sources::Gguf gguf;
  gguf.text("general.architecture", "llama")
      .text("tokenizer.ggml.model", model)
      .texts("tokenizer.ggml.tokens", tokens.texts);
  gguf.numbers("tokenizer.ggml.scores", 6, tokens.scores).numbers("tokenizer.ggml.token_type", 5, tokens.types);
  return gguf;
}

sources::Gguf byte_level_gguf(const Tokens& tokens, const std::vector<std::string>& merges, const std::string& pre,
                              const convert::TokenizerInfo& info) {
  sources::Gguf gguf = gguf_of(tokens, "gpt2");
  gguf.texts("tokenizer.ggml.merges", merges);
  if (!pre.empty()) gguf.text("tokenizer.ggml.pre", pre);
  if (info.bos >= 0) gguf.number("tokenizer.ggml.bos_token_id", static_cast<u32>(info.bos));
  if (info.eos >= 0) gguf.number("tokenizer.ggml.eos_token_id", static_cast<u32>(info.eos));
  return gguf.flag("tokenizer.ggml.add_bos_token", info.bos >= 0);
}

// A byte-level tokenizer.json as converters to GGUF write it.
sources::Gguf gguf_of_json(const std::string& text, const std::string& pre, const convert::TokenizerInfo& info) {
  convert::Json json = convert::parse_json(text, "tokenizer.json");
  const convert::Json* model = json.find("model");
  Tokens tokens;
  for (const auto& [token, id] : *model->find("vocab")->object())
    tokens.set(static_cast<size_t>(*id.number()), token, NORMAL);
  if (const convert::Json* added = json.find("added_tokens")) {
    for (const convert::Json& token : *added->array()) {
      tokens.set(static_cast<size_t>(*token.find("id")->number()), *token.find("content")->string(),
                 *token.find("special")->boolean() ? CONTROL : USER_DEFINED);
    }
  }
  std::vector<std::string> merges;
  for (const convert::Json& merge : *model->find("merges")->array())
    merges.push_back(merge.string() ? *merge.string() : *(*merge.array())[0].string() + " " + *(*merge.array())[1].string());
  return byte_level_gguf(tokens, merges, pre, info);
}

// vocab.json and merges.txt.
sources::Gguf gguf_of_tables(const std::string& folder, const std::string& pre, const convert::TokenizerInfo& info) {
  Tokens tokens;
  convert::Json vocab = convert::parse_json(read_file(folder + "/vocab.json"), folder);
  for (const auto& [token, id] : *vocab.object())
    tokens.set(static_cast<size_t>(*id.number()), token,
               token.starts_with("<|") && token.ends_with("|>") ? CONTROL : NORMAL);
  std::vector<std::string> merges;
  std::istringstream lines(read_file(folder + "/merges.txt"));
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty() && !line.starts_with("#version")) merges.push_back(line);
  }
  return byte_level_gguf(tokens, merges, pre, info);
}

std::vector<u8> section_of(const sources::Gguf& gguf, i64 vocab, convert::TokenizerInfo* info) {
  std::string path = temporary_path("tokenizer.gguf");
  write_file(path, gguf.bytes());
  return convert::build_tokenizer_section(path, vocab, info);
}

void check_same(const sources::Gguf& gguf, i64 vocab, const std::vector<u8>& expected,
                const convert::TokenizerInfo& theirs) {
  convert::TokenizerInfo info;
  CHECK(section_of(gguf, vocab, &info) == expected);
  CHECK_EQ(info.bos, theirs.bos);
  CHECK_EQ(info.eos, theirs.eos);
  CHECK_EQ(info.ids, theirs.ids);
}

// White space that added tokens take along, and whether they are matched before normalisation, are not in a GGUF file.
std::string without_lost_flags(std::string json) {
  for (const char* flag : {"\"lstrip\":", "\"rstrip\":", "\"normalized\":"}) {
    for (const char* space : {"", " "}) {
      std::string set = std::string(flag) + space + "true", clear = std::string(flag) + "false";
      for (size_t at; (at = json.find(set)) != std::string::npos;)
        json.replace(at, set.size(), clear);
    }
  }
  return json;
}

void check_json(const std::string& path, const std::string& pre, i64 vocab) {
  std::string json = without_lost_flags(read_file(path)), alone = temporary_path("tokenizer.json");
  write_file(alone, json);
  convert::TokenizerInfo theirs;
  std::vector<u8> expected = convert::build_tokenizer_section(alone, vocab, &theirs);
  check_same(gguf_of_json(json, pre, theirs), vocab, expected, theirs);
}

TEST(byte_level) {
  check_json("tests/golden/tokenizer/llama3/tokenizer.json", "llama-bpe", 1000);
  check_json("tests/golden/tokenizer/qwen2/tokenizer.json", "qwen2", 1000);
}

void check_tables(const std::string& folder, const std::string& pre, i64 vocab) {
  convert::TokenizerInfo theirs;
  std::vector<u8> expected = convert::build_tokenizer_section(folder, vocab, &theirs);
  check_same(gguf_of_tables(folder, pre, theirs), vocab, expected, theirs);
}

TEST(byte_level_tables) {
  check_tables("tests/golden/tokenizer/digits", "smollm", 1000);
  check_tables("tests/golden/tokenizer/digits", "", 1000);  // inferred
}

TEST(published_byte_level) {
  std::string folder = data_path("tokenizers").string();
  if (!std::filesystem::exists(folder)) SKIP(no_data("tokenizers"));
  check_json(folder + "/olmo/tokenizer.json", "olmo", 50304);
  for (const char* pre : {"qwen2", ""})
    check_tables(folder + "/qwen2", pre, 151936);
  for (const char* pre : {"smollm", "default"})
    check_tables(folder + "/smollm", pre, 49152);
}

// tokenizer.model, field by field.
sources::Gguf gguf_of_sentencepiece(const std::string& path) {
  Tokens tokens;
  std::string data = read_file(path);
  convert::ProtobufReader reader(data, path);
  for (convert::ProtobufField field; reader.next(&field);) {
    if (field.number != 1) continue;
    std::string text;
    f32 score = 0;
    i32 type = NORMAL;
    convert::ProtobufReader piece(field.bytes, path);
    for (convert::ProtobufField part; piece.next(&part);) {
      if (part.number == 1) text = part.bytes;
      if (part.number == 2) score = part.number_f32();
      if (part.number == 3) type = static_cast<i32>(part.value);
    }
    tokens.set(tokens.texts.size(), text, type, score);
  }
  sources::Gguf gguf = gguf_of(tokens, "llama");
  return gguf.number("tokenizer.ggml.bos_token_id", 1).number("tokenizer.ggml.eos_token_id", 2);
}

void check_same_sentencepiece(const std::string& path, i64 vocab) {
  convert::TokenizerInfo theirs, info;
  std::string alone = temporary_path("tokenizer.model");  // without the files beside it
  write_file(alone, read_file(path));
  std::vector<u8> expected = convert::build_tokenizer_section(alone, vocab, &theirs);
  CHECK(section_of(gguf_of_sentencepiece(path), vocab, &info) == expected);
  CHECK_EQ(info.bos, theirs.bos);
  CHECK_EQ(info.eos, theirs.eos);
}

TEST(sentencepiece) {
  check_same_sentencepiece("tests/golden/tokenizer/sentencepiece/tokenizer.model", 1000);
}

// A token that someone defined is matched whatever the merges say; one that is not used is met nowhere.
TEST(sentencepiece_with_added_tokens) {
  Tokens tokens;
  tokens.set(0, "<unk>", 2);
  for (const char* piece : {"\xe2\x96\x81", "a", "b", "ab"})
    tokens.set(tokens.texts.size(), piece, NORMAL, -1);
  tokens.set(5, "bab", USER_DEFINED);
  tokens.set(6, "aa", UNUSED);
  tokens.set(7, "<end>", CONTROL);
  convert::TokenizerInfo info;
  Section section(section_of(gguf_of(tokens, "llama").number("tokenizer.ggml.eos_token_id", 7), 9, &info));
  Tokenizer tokenizer;
  CHECK(tokenizer.open(section.span(), 9).ok());
  CHECK_EQ(encode(tokenizer, "abbab<end>aa", {.parse_special = true}), (Ids{1, 4, 5, 7, 1, 2, 2}));
  CHECK_EQ(decode(tokenizer, {5, 8}), std::string("bab"));
  CHECK_EQ(info.eos, i64{7});
  CHECK((info.stop == std::vector<u32>{7}));
}

TEST(published_sentencepiece) {
  std::string path = data_path("tokenizers/llama2/tokenizer.model").string();
  if (!std::filesystem::exists(path)) SKIP(no_data("tokenizers/llama2"));
  check_same_sentencepiece(path, 32000);
}

// As Python writes bytes, without the quotes.
std::string python_bytes(Text bytes) {
  std::string out;
  const bool quoted = std::find(bytes.data, bytes.data + bytes.size, '\'') != bytes.data + bytes.size;
  const bool doubly = std::find(bytes.data, bytes.data + bytes.size, '"') != bytes.data + bytes.size;
  for (i64 i = 0; i < bytes.size; i++) {
    const char c = bytes[i];
    const size_t control = std::string("\t\n\r\\").find(c);
    if (control != std::string::npos) {
      out += {'\\', "tnr\\"[control]};
    } else if (c == '\'' && quoted && doubly) {
      out += "\\'";
    } else if (c >= ' ' && c <= '~') {
      out += c;
    } else {
      char hex[8];
      std::snprintf(hex, sizeof hex, "\\x%02x", static_cast<u8>(c));
      out += hex;
    }
  }
  return out;
}

void check_same_world(const std::string& path, i64 vocab) {
  convert::TokenizerInfo theirs;
  const std::vector<u8> expected = convert::build_tokenizer_section(path, vocab, &theirs);
  Section section(expected);
  Tokenizer tokenizer;
  CHECK(tokenizer.open(section.span(), static_cast<i32>(vocab)).ok());
  Tokens tokens;
  tokens.set(0, "<s>", CONTROL);
  for (i32 id = 1; id < theirs.ids; id++) {
    if (Text piece = tokenizer.piece(id); piece.size > 0) tokens.set(static_cast<size_t>(id), python_bytes(piece), NORMAL);
  }
  tokens.set(static_cast<size_t>(vocab) - 1, "[PAD]", UNUSED);
  check_same(gguf_of(tokens, "rwkv"), vocab, expected, theirs);
}

TEST(world) {
  check_same_world("tests/golden/tokenizer/world/rwkv_vocab.txt", 2000);
  std::string published = data_path("tokenizers/rwkv-world/rwkv_vocab_v20230424.txt").string();
  if (std::filesystem::exists(published)) check_same_world(published, 65536);
}

TEST(what_ends_a_turn_and_the_template) {
  convert::TokenizerInfo ids;
  ids.bos = 603, ids.eos = 2;
  sources::Gguf gguf = gguf_of_json(read_file("tests/golden/tokenizer/llama3/tokenizer.json"), "llama-bpe", ids);
  gguf.number("tokenizer.ggml.eot_token_id", 5).text("tokenizer.chat_template", "{{ messages }}");
  convert::TokenizerInfo info;
  section_of(gguf, 1000, &info);
  CHECK_EQ(info.chat_template, "{{ messages }}");
  CHECK_EQ(info.bos_token, "<|bos|>");
  CHECK(std::find(info.stop.begin(), info.stop.end(), 2u) != info.stop.end());
  CHECK(std::find(info.stop.begin(), info.stop.end(), 5u) != info.stop.end());
  CHECK(std::find(info.stop.begin(), info.stop.end(), 602u) != info.stop.end());  // <|end|>
  CHECK_EQ(info.stop.size(), size_t{3});
}

std::string refusal(const sources::Gguf& gguf, i64 vocab = 1000) {
  convert::TokenizerInfo info;
  try {
    section_of(gguf, vocab, &info);
  } catch (const convert::Error& error) {
    return error.what();
  }
  return "";
}

void check_refused(const sources::Gguf& gguf, const std::string& message, i64 vocab = 1000) {
  std::string actual = refusal(gguf, vocab);
  if (actual.find(message) == std::string::npos) CHECK_EQ(actual, message);
  check::passed();
}

TEST(what_cannot_be_used) {
  const std::string llama3 = read_file("tests/golden/tokenizer/llama3/tokenizer.json");
  check_refused(gguf_of_json(llama3, "tekken", {}), "tokenizer.ggml.pre is \"tekken\", which is not supported (llama3, ");
  check_refused(gguf_of_json(llama3, "llama-bpe", {}), "ids, the model has 3", 3);
  Tokens tokens;
  tokens.set(0, "a", NORMAL);
  tokens.set(1, "b", NORMAL);
  CHECK_EQ(refusal(gguf_of(tokens, "llama")), "");
  check_refused(gguf_of(tokens, "bert"), "tokenizer.ggml.model is \"bert\"");
  Tokens world = tokens;
  world.texts[1] = "\\q";
  check_refused(gguf_of(world, "rwkv"), "token 1 is not written as the bytes of a world vocabulary: \\q");
  world.texts[1] = "";
  check_refused(gguf_of(world, "rwkv"), "id 1 has 0 bytes, expected 1 to 1024");
  check_refused(gguf_of(tokens, "gpt2"), "tokenizer.ggml.merges is missing");
  for (const char* merge : {"a", "a b", "a ", " b", "x y"})
    check_refused(gguf_of(tokens, "gpt2").texts("tokenizer.ggml.merges", {merge}), "merge 0 is not two tokens");
  tokens.types.pop_back();
  check_refused(gguf_of(tokens, "llama"), "2 tokens, but 1 types");
  tokens.types.push_back(7);
  check_refused(gguf_of(tokens, "llama"), "token 1 has the type 7");
  Tokens same;  // no hash table could hold them apart
  for (size_t id = 0; id < 129; id++)
    same.set(id, "a", NORMAL);
  check_refused(byte_level_gguf(same, {"a a"}, "llama-bpe", {}), "merge 0 is not two tokens");
  check_refused(byte_level_gguf(same, {}, "llama-bpe", {}), "more than 64 of its 129 entries have one hash");
  sources::Gguf none;
  check_refused(none, "tokenizer.ggml.tokens is missing");
}

}  // namespace
