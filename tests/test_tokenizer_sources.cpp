// Tokenizers that are not tokenizer.json: each field of SentencePiece's file, each line of the tables, the exact words of each
// refusal, and how GGUF names ways to cut words.
#include <algorithm>
#include <map>

#include "check.h"
#include "convert/base/error.h"
#include "convert/tokenizer/folder.h"
#include "convert/tokenizer/vocabulary.h"
#include "gguf_source.h"
#include "refused.h"

using namespace edgellm;
using check::said;
using convert::Vocabulary;

namespace {

using sources::Bytes;

// --- SentencePiece ---

std::string varint(u64 value) {
  std::string out;
  for (; value >= 128; value >>= 7)
    out += static_cast<char>(value | 128);
  return out + static_cast<char>(value);
}
std::string number_field(u32 field, u64 value) {
  return varint(field << 3) + varint(value);
}
std::string bytes_field(u32 field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string piece(const std::string& text, f32 score = 0, u64 type = 1) {
  return bytes_field(1, bytes_field(1, text) + varint(2 << 3 | 5) + Bytes().put(score).data + number_field(3, type));
}

const std::string PIECES = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("a", -3) +
                           piece("b", -2) + piece("ab", -1) + piece("\xe2\x96\x81", -4) +
                           piece(
                               "\xe2\x96\x81"
                               "a",
                               -5);
const std::string BPE = number_field(3, 2);

std::string shown(const Vocabulary& v) {
  std::ostringstream out;
  out << v.flags << " ids " << v.ids << " unk " << v.unknown << " bos " << v.bos << (v.adds_bos ? "+" : "") << " eos "
      << v.eos;
  for (WordSplit split : v.splits)
    out << " split " << static_cast<int>(split);
  out << " |";
  for (const std::string& one : v.pieces)
    out << one << "|";
  for (const auto& [pair, merge] : v.pairs)
    out << " " << pair.first << "+" << pair.second << "=" << merge.merged << "@" << merge.rank;
  out << " words";
  for (u32 word : v.words)
    out << " " << word;
  for (const auto& [text, added] : v.added)
    out << " " << text << ":" << added.id << "," << added.flags << (added.normalized ? "n" : "") << "," << added.matched;
  return out.str();
}

std::string sentencepiece(const std::string& trainer, const std::string& normalizer = "",
                          const std::string& pieces = PIECES) {
  const std::string data = pieces + bytes_field(2, trainer) + bytes_field(3, normalizer);
  CHECK(convert::is_sentencepiece(data));
  return said([&] { return shown(convert::read_sentencepiece(data, "t.model")); });
}

TEST(each_field_of_sentencepiece) {
  constexpr u32 ALWAYS = TOKENIZER_REPLACE_INVALID | TOKENIZER_FUSE_UNKNOWN;
  constexpr u32 MARKED = TOKENIZER_SPACE_MARK, TRIMS = TOKENIZER_TRIM_SPACES | TOKENIZER_STRIP_FIRST_SPACES,
                PREFIXED = TOKENIZER_PREFIX | TOKENIZER_STRIP_FIRST_SPACE;
  const std::string rest = " split 6 | \xe2\x81\x87 |<s>|</s>|a|b|ab| | a| 3+4=5@0 6+3=7@4 words 3 4 6 ";
  const std::string added = "</s>:2,1,</s> <s>:1,1,<s> <unk>:0,1,<unk>";
  auto expected = [&](u32 flags, const char* ids = "unk 0 bos 1+ eos 2") {
    return convert::text(flags, " ids 8 ", ids, rest, added);
  };
  CHECK_EQ(sentencepiece(BPE), expected(ALWAYS | MARKED | TRIMS | PREFIXED));
  CHECK_EQ(sentencepiece(BPE + number_field(35, 1)), expected(ALWAYS | MARKED | TRIMS | PREFIXED | TOKENIZER_BYTE_FALLBACK));
  CHECK_EQ(sentencepiece(BPE, number_field(3, 0)), expected(ALWAYS | MARKED | TRIMS));
  CHECK_EQ(sentencepiece(BPE, number_field(4, 0)), expected(ALWAYS | MARKED | PREFIXED));
  CHECK_EQ(sentencepiece(BPE + number_field(40, 3) + number_field(41, 4) + number_field(42, 5)),
           expected(ALWAYS | MARKED | TRIMS | PREFIXED, "unk 3 bos 4+ eos 5"));
  const u64 none = ~u64{0};
  CHECK_EQ(sentencepiece(BPE + number_field(40, none) + number_field(41, none) + number_field(42, 8)),
           expected(ALWAYS | MARKED | TRIMS | PREFIXED, "unk -1 bos -1+ eos -1"));
  CHECK_EQ(sentencepiece(BPE, bytes_field(1, "identity") + bytes_field(2, "")),
           expected(ALWAYS | MARKED | TRIMS | PREFIXED));
  // What follows is for tests of its trainer and for texts that are put together again.
  for (u32 other : {4u, 5u})
    CHECK_EQ(
        sentencepiece(BPE, "", PIECES + bytes_field(other, number_field(3, 0) + number_field(4, 0) + number_field(5, 0))),
        expected(ALWAYS | MARKED | TRIMS | PREFIXED));
  CHECK_EQ(sentencepiece(BPE, bytes_field(1, "nmt_nfkc") + bytes_field(2, "x")),
           "refused: t.model: the normaliser nmt_nfkc has a character map, only 'identity' is supported");
  CHECK_EQ(sentencepiece(BPE + number_field(24, 1)), "refused: t.model: spaces as suffixes are not supported");
  const std::pair<u64, const char*> types[] = {{1, "Unigram"}, {3, "Word"}, {4, "Char"}, {0, "?"}, {5, "?"}};
  for (const auto& [type, name] : types)
    CHECK_EQ(sentencepiece(number_field(3, type)),
             convert::text("refused: t.model: a SentencePiece model of type ", name, ", only BPE is supported"));
  CHECK_EQ(sentencepiece(""), "refused: t.model: a SentencePiece model of type Unigram, only BPE is supported");
  // Another text for what is unknown; spaces that are not marked are not cut at either.
  CHECK(sentencepiece(BPE + bytes_field(44, "?")).find("|?|<s>|") != std::string::npos);
  CHECK(sentencepiece(BPE, number_field(5, 0))
            .find("|\xe2\x96\x81|\xe2\x96\x81"
                  "a| ") != std::string::npos);
}

TEST(each_type_of_piece) {
  auto with = [&](const std::string& more) { return sentencepiece(BPE, "", PIECES + more); };
  auto has = [&](const std::string& text, const std::string& part) {
    if (text.find(part) == std::string::npos) CHECK_EQ(text, part);
    check::passed();
  };
  has(with(piece("<x>", 0, 4)), "<x>:8,0n,<x>");
  has(with(piece("a b", 0, 4)), "words 3 4 6 </s>:2,1,</s>");
  has(with(piece("<0x0A>", 0, 6)), "|\n|");
  has(with(piece("caf\xc3\xa9", -1)), "| a|caf\xc3\xa9|c|f|\xc3\xa9|");  // characters that only merges know
  CHECK_EQ(with(piece("<0x0a>", 0, 6)), "refused: t.model: byte piece 8 is called <0x0a>");
  CHECK_EQ(with(piece("x", 0, 5)), "refused: t.model: piece 8 is of the type unused, which is not supported");
  CHECK_EQ(with(piece("x", 0, 7)), "refused: t.model: piece 8 has the type 7, which is not supported");
  CHECK_EQ(with(piece("x", 0, 0)), "refused: t.model: piece 8 has the type 0, which is not supported");
  CHECK_EQ(with(piece("", 0, 3)), "refused: t.model: added token 8 has 0 bytes");
  CHECK_EQ(with(piece(std::string(4097, 'a'), 0)), "refused: t.model: piece 8 has 4097 bytes, at most 4096");
  CHECK(with(piece(std::string(4096, 'a'), 0)).find("refused") == std::string::npos);
  // Cut before spaces, unless a merge joins what lies on both sides of one.
  has(with(piece("\xe2\x96\x81\xe2\x96\x81", -6)), "eos 2 split 6 |");
  has(with(piece("a\xe2\x96\x81"
                 "a",
                 -6)),
      "eos 2 |");
  // Of equal scores one rank; a piece twice is the first.
  has(with(piece("ba", -1) + piece("aba", -1.5f)), "3+4=5@0 3+8=9@1 4+3=8@0 5+3=9@1 ");
  has(with(piece("ab", -9)), "3+4=5@0 6+3=7@4");
}

// --- llama2.c ---

std::string llama2c(size_t count, const std::string& name_of_byte_65 = "<0x41>") {
  Bytes out;
  out.put(u32{9});
  for (size_t id = 0; id < count; id++) {
    char byte[8];
    std::snprintf(byte, sizeof byte, "<0x%02X>", static_cast<unsigned>(id - 3) & 255);
    std::string text = id < 3 ? "<s>" : id < 259 ? byte : id == 259 ? "a" : id == 260 ? " " : id == 261 ? " a" : "zz";
    if (id == 3 + 65) text = name_of_byte_65;
    out.put(id == 261 ? -1.0f : -2.0f).put(static_cast<u32>(text.size())).text(text);
  }
  return out.data;
}

TEST(tokenizers_of_llama2c) {
  auto read = [](const std::string& data) {
    return said([&] {
      const Vocabulary v = convert::read_llama2c_tokenizer(data, "t.bin");
      return convert::text(v.flags, " ", v.ids, " ", v.unknown, v.bos, v.eos, v.adds_bos, " ", v.byte_ids[65], " ",
                           v.pieces[68], " ", v.pairs.size(), " ", v.pairs.at({260, 259}).merged, " ", v.added.at("<s>").id,
                           v.added.at("</s>").id);
    });
  };
  constexpr u32 FLAGS = TOKENIZER_PREFIX | TOKENIZER_BYTE_FALLBACK | TOKENIZER_STRIP_FIRST_SPACE;
  CHECK_EQ(read(llama2c(262)), convert::text(FLAGS, " 262 0121 68 A 1 261 12"));
  CHECK_EQ(read(llama2c(258)), "refused: t.bin: 258 pieces, at least 259 expected");
  CHECK_EQ(read(llama2c(262, "<0x42>")), "refused: t.bin: piece 68 is not byte 65");
  for (size_t cut : {1u, 4u, 8u})
    CHECK_EQ(read(llama2c(262).substr(0, llama2c(262).size() - cut)), "refused: t.bin: is cut, or no tokenizer of llama2.c");
  CHECK(convert::is_llama2c_tokenizer(llama2c(262)) && !convert::is_llama2c_tokenizer(llama2c(262) + "x"));
  CHECK(!convert::is_llama2c_tokenizer("12345678901"));
  CHECK(convert::is_llama2c_tokenizer(llama2c(262) + std::string(8, '\0')));  // a piece without text
  std::string shorter = llama2c(262);
  shorter[0] = 5;  // no piece is longer
  CHECK(!convert::is_llama2c_tokenizer(shorter));
}

// --- Tables ---

TEST(lines_of_the_world_vocabulary) {
  auto read = [](const std::string& data) {
    return said([&] {
      const Vocabulary v = convert::read_rwkv_vocabulary(data, "w.txt");
      std::string out = convert::text(v.ids, " ", v.max_word, " ", v.eos);
      for (const std::string& one : v.pieces)
        out += "|" + one;
      return out;
    });
  };
  CHECK_EQ(read("1 'a' 1\n2 \"it's\" 4\r\n\n3 b'\\xe2\\x82' 2\n5 '\\u20ac' 3\n"),
           "6 4 0|<|endoftext|>|a|it's|\xe2\x82||\xe2\x82\xac");
  CHECK_EQ(read(R"(1 '\n\t\r\\\'\"\x41' 7
)"),
           "2 7 0|<|endoftext|>|\n\t\r\\'\"A");
  CHECK_EQ(read("1 '\\U0001f44d' 4\n2 ' ' 1\n"), "3 4 0|<|endoftext|>|\xf0\x9f\x91\x8d| ");
  CHECK_EQ(read("1 '\\x80' 2\n2 b'\\x80' 1\n"), "3 2 0|<|endoftext|>|\xc2\x80|\x80");
  for (const char* line :
       {"1 'a' 2", "1 'a'", "a 'a' 1", "-1 'a' 1", "1 a 1", "1 'a\" 1", "1 '' 0", "1 'a' x", "1 '\\q' 1", "1 '\\x4' 1",
        "1 b'\\u20ac' 3", "2097152 'a' 1", "1 ' 1", "1 b' 1", "1 '\\U00110000' 4", "1 '\\x4g' 1"})
    CHECK_EQ(line + read(std::string("7 'x' 1\n") + line + "\n"),
             line + std::string("refused: w.txt: line 2 is not \"ID LITERAL BYTES\""));
  CHECK_EQ(read("1 'a' 1\n2 'a' 1\n"), "refused: w.txt: ids 1 and 2 are the same piece");
  const std::string longest(1024, 'x');
  CHECK(read("1 '" + longest + "' 1024\n").starts_with("2 1024 0|"));
  CHECK_EQ(read("1 '" + longest + "x' 1025\n"), "refused: w.txt: id 1 has 1025 bytes, expected 1 to 1024");
  CHECK(convert::is_rwkv_vocabulary("1 'a' 1\nx") && !convert::is_rwkv_vocabulary("x\n1 'a' 1\n"));
}

TEST(vocab_and_merges) {
  auto read = [](const std::string& vocab, const std::string& merges) {
    return said([&] { return shown(convert::read_vocab_and_merges(convert::parse_json(vocab, "v"), merges, "v.json")); });
  };
  const std::string vocab = "{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"<|x|>\":5,\"\\u20ac\":4}";
  CHECK_EQ(read(vocab, "#version: 0.2\r\na b\r\n\n"),
           "0 ids 6 unk -1 bos -1 eos -1 split 4 split 1 |a|b|ab| |\xe2\x82\xac|<|x|>| 0+1=2@0 words <|x|>:5,1,<|x|>");
  CHECK_EQ(read(vocab, "a"), "refused: v.json: merges.txt, line 1: expected two tokens");
  CHECK_EQ(read(vocab, "a b\n\nb a"), "refused: v.json: merges.txt, line 3: b a: not in vocab.json");
  CHECK_EQ(read(vocab, "c b"), "refused: v.json: merges.txt, line 1: c b: not in vocab.json");
  CHECK_EQ(read("{\"a\":0.5}", ""), "refused: v.json: the id of a");
  CHECK_EQ(read("{\"a\":2097152}", ""), "refused: v.json: the id of a");
}

std::string base64(const std::string& bytes) {
  static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    u32 three = 0;
    for (size_t k = 0; k < 3; k++)
      three = three << 8 | (i + k < bytes.size() ? static_cast<u8>(bytes[i + k]) : 0);
    for (size_t k = 0; k < 4; k++)
      out += i * 8 + k * 6 < bytes.size() * 8 && k <= bytes.size() - i ? DIGITS[three >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

TEST(ranks_of_tiktoken) {
  auto read = [](const std::string& data) {
    return said([&] { return convert::text(convert::read_ranks(data, "r").ids); });
  };
  const std::string known = " ranks: known are Llama 3 with 128000 and cl100k with 100256";
  CHECK_EQ(read("YQ== 0\nYg== 1\nYWI= 2\n"), "refused: r: 3" + known);
  CHECK_EQ(read("YQ== 0\nYQ== 1\n"), "refused: r: line 2: the token is there twice");
  CHECK_EQ(read("YQ== 0\n\nYg== 0\n"), "refused: r: line 3: rank 0 is there twice");
  for (const char* line : {"YQ==", "Y*== 0", " 0", "== 0", "YQ== x", "YQ== 0x", "YQ== -1", "YQ== 2097152", "YQ==  1"})
    CHECK_EQ(line + read(std::string("Yg== 1\n") + line), line + std::string("refused: r: line 2 is not \"base64 rank\""));
  CHECK(convert::is_ranks("YQ== 0\n") && !convert::is_ranks("1 'a' 1\n") && !convert::is_ranks(""));
  std::string data;
  u32 rank = 0;
  auto add = [&](const std::string& bytes) { data += base64(bytes) + " " + std::to_string(rank++) + "\n"; };
  for (int a = 0; a < 256; a++)
    add(std::string(1, static_cast<char>(a)));
  for (int a = 0; a < 256 * 256; a++)
    add({static_cast<char>(a >> 8), static_cast<char>(a)});
  for (int a = 0; a < 34464; a++)
    add({static_cast<char>(a >> 8), static_cast<char>(a), '!'});
  const Vocabulary v = convert::read_ranks(data, "r");
  CHECK_EQ(v.ids, 100256u);
  CHECK(v.splits == std::vector{WordSplit::llama3} && v.flags == TOKENIZER_WHOLE_WORDS && v.adds_bos);
  CHECK_EQ(v.words.size(), size_t{100256});
  CHECK_EQ(v.byte_ids[255], 255);
  CHECK_EQ(v.pieces[100255], std::string({static_cast<char>(34463 >> 8), static_cast<char>(34463 & 255), '!'}));
  // A piece of two bytes joins one pair; a piece of three bytes two.
  CHECK_EQ(v.pairs.size(), size_t{65536 + 2 * 34464});
  const Vocabulary::Merge merge = v.pairs.at({'a', 256 + 'b' * 256 + '!'});
  CHECK(merge.rank == merge.merged && v.pieces[merge.merged] == "ab!");
}

TEST(parts_of_a_vocabulary) {
  CHECK_EQ(convert::byte_of_name("<0x00>") + convert::byte_of_name("<0xAF>") + convert::byte_of_name("<0xF0>"),
           0 + 0xaf + 0xf0);
  for (const char* name :
       {"<0xG0>", "<0x0G>", "<0x0a>", "<0x0A]", "<0xA>", "<0x0A>>", "(0x0A>", "<0x@0>", "<0x/0>", "<0x:0>"})
    CHECK_EQ(convert::byte_of_name(name), -1);
  // GPT-2's alphabet (openai/gpt-2, encoder.py, bytes_to_unicode).
  std::vector<u32> alphabet(256);
  u32 next = 256;
  for (u32 byte = 0; byte < 256; byte++) {
    const bool itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
    alphabet[byte] = itself ? byte : next++;
  }
  for (u32 character = 0; character < 400; character++) {
    const auto place = std::find(alphabet.begin(), alphabet.end(), character);
    CHECK_EQ(convert::byte_of_printable(character),
             place == alphabet.end() ? -1 : static_cast<i32>(place - alphabet.begin()));
  }
  CHECK_EQ(convert::bytes_of_printable("\xc4\xa0"
                                       "a\xc4\x8a")
               .value_or("?"),
           " a\n");
  CHECK_EQ(convert::bytes_of_printable("a b").value_or("?"), "?");
  CHECK_EQ(convert::bytes_of_printable("a\xc4").value_or("?"), "?");
  std::string_view text = "a\r\nb\n\nc";
  std::string lines;
  while (!text.empty())
    lines += "[" + std::string(convert::take_line(&text)) + "]";
  CHECK_EQ(lines, "[a][b][][c]");
  CHECK_EQ(convert::unmark_spaces("\xe2\x96\x81"
                                  "a\xe2\x96\x81\xe2\x96\x81"),
           " a  ");
  CHECK_EQ(convert::character_bytes("a\xe2\x82\xac", 0) * 10 + convert::character_bytes("a\xe2\x82\xac", 1), 13u);
  CHECK_EQ(convert::character_bytes("\xe2\x82", 0), 1u);
  CHECK_EQ(convert::bytes_of_literal("a\\x00\\n").value_or("?"), std::string("a\0\n", 3));
  CHECK_EQ(convert::bytes_of_literal("\\u0041").value_or("?"), "?");
}

// --- GGUF ---

TEST(ways_to_cut_words_that_gguf_names) {
  const std::string llama3 = "2 128+", plain = "1 0", digits = "41 0";
  const std::pair<const char*, std::string> rows[] = {
      {"llama3", llama3},   {"llama-v3", llama3},  {"llama-bpe", llama3},       {"falcon3", llama3},  {"falcon-h1", llama3},
      {"falcon_e", llama3}, {"falcon-e", llama3},  {"midm-2.0", llama3},        {"smaug-bpe", "2 0"}, {"dbrx", "2 0"},
      {"qwen2", "3 1"},     {"megrez", "3 0"},     {"deepseek-r1-qwen", "3 0"}, {"smollm", digits},   {"starcoder", digits},
      {"refact", digits},   {"codeshell", digits}, {"minerva-7b", digits},      {"gpt-2", plain},     {"phi-2", plain},
      {"jais", plain},      {"mellum", plain},     {"trillion", plain},         {"a.x-4.0", plain},   {"mpt", "1 1"},
      {"olmo", "1 1"},      {"default", digits},
  };
  Folder folder;
  for (const auto& [pre, expected] : rows) {
    sources::Gguf gguf;
    gguf.text("general.architecture", "llama").text("tokenizer.ggml.model", "gpt2").text("tokenizer.ggml.pre", pre);
    gguf.texts("tokenizer.ggml.tokens", {"a", "b", "ab", "<e>"}).texts("tokenizer.ggml.merges", {"a b"});
    gguf.numbers<i32>("tokenizer.ggml.token_type", 5, {1, 1, 1, 3}).number("tokenizer.ggml.bos_token_id", 3);
    write_file(folder / "x.gguf", gguf.bytes());
    convert::TokenizerInfo info;
    const Vocabulary v = convert::read_gguf_vocabulary(folder / "x.gguf", &info);
    std::string found;
    for (WordSplit split : v.splits)
      found += std::to_string(static_cast<int>(split));
    found += " " + std::to_string(v.flags) + (v.adds_bos ? "+" : "");
    CHECK_EQ(pre + (": " + found), pre + (": " + expected));
    CHECK_EQ(v.words.size(), v.flags & TOKENIZER_WHOLE_WORDS ? size_t{3} : size_t{0});
    CHECK_EQ(v.bos, v.adds_bos ? 3 : -1);
    CHECK_EQ(info.bos_token, "<e>");
  }
}

}  // namespace
