// Encoding and decoding against plain implementations, over random vocabularies, texts and ids.
#include <algorithm>
#include <map>
#include <random>

#include "tokenizer_test.h"

using namespace edgellm;

namespace {

const std::string REPLACED = "\xef\xbf\xbd";

struct Built {
  convert::TokenizerInfo info;
  Section section;
  Tokenizer tokenizer;

  Built(const std::string& path, i32 vocab) : section(convert::build_tokenizer_section(path, vocab, &info)) {
    const Status status = tokenizer.open(section.span(), vocab);
    CHECK_EQ(std::string(status.text()), "");
  }
};

using Pieces = std::vector<std::string>;

Pieces characters_of(const std::string& text) {
  Pieces all;
  for (size_t at = 0; at < text.size();) {
    const i32 length = utf8_length(text.data() + at, static_cast<i64>(text.size() - at));
    const size_t n = length > 0 ? static_cast<size_t>(length) : 1;
    all.push_back(length > 0 ? text.substr(at, n) : REPLACED);
    at += n;
  }
  return all;
}

// --- Byte-pair encoding ----------------------------------------------------------------------------------------------------

struct Merges {
  Pieces vocabulary;  // by id
  std::map<std::string, i32> ids;
  std::vector<std::pair<std::string, std::string>> list;  // by rank

  void add(const std::string& piece) {
    if (ids.emplace(piece, static_cast<i32>(vocabulary.size())).second) vocabulary.push_back(piece);
  }
  // With a mark in front for the spaces of a text: none is in these.
  std::string json(const std::string& more) const {
    std::string vocab, merges;
    for (size_t id = 0; id < vocabulary.size(); id++)
      vocab += (id ? "," : "") + ("\"" + vocabulary[id] + "\":") + std::to_string(id);
    for (const auto& [left, right] : list)
      merges += (merges.empty() ? "[\"" : ",[\"") + left + "\",\"" + right + "\"]";
    return R"({"model":{"type":"BPE","unk_token":"?")" + more + R"(,"vocab":{)" + vocab + R"(},"merges":[)" + merges + "]}}";
  }
};

Merges random_merges(std::mt19937& random, i32 count) {
  Merges merges;
  for (const char* c : {"?", "a", "b", "c", "\xc3\xa9"})
    merges.add(c);
  for (i32 i = 0; i < count; i++) {
    auto some = [&] { return merges.vocabulary[1 + random() % (merges.vocabulary.size() - 1)]; };
    const std::pair<std::string, std::string> pair = {some(), some()};
    if (pair.first.size() + pair.second.size() > 12) continue;
    if (std::find(merges.list.begin(), merges.list.end(), pair) != merges.list.end()) continue;
    merges.add(pair.first + pair.second);
    merges.list.push_back(pair);
  }
  return merges;
}

// The pair of the lowest rank, of equal ones the leftmost, again and again.
Ids merged(const Merges& merges, Pieces symbols) {
  for (;;) {
    size_t best = merges.list.size(), at = 0;
    for (size_t i = 0; i + 1 < symbols.size(); i++) {
      const auto found = std::find(merges.list.begin(), merges.list.end(), std::pair(symbols[i], symbols[i + 1]));
      const size_t rank = static_cast<size_t>(found - merges.list.begin());
      if (rank < best) best = rank, at = i;
    }
    if (best == merges.list.size()) break;
    symbols[at] += symbols[at + 1];
    symbols.erase(symbols.begin() + static_cast<long>(at) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols)
    ids.push_back(merges.ids.at(symbol));
  return ids;
}

// Characters that have no piece stand for themselves, as the unknown id: each by itself, or a run of them as one.
Ids encoded(const Merges& merges, const std::string& text, bool fused) {
  Ids ids;
  Pieces word;
  bool unknown = false;
  auto flush = [&] {
    for (i32 id : merged(merges, word))
      ids.push_back(id);
    word.clear();
  };
  for (const std::string& c : characters_of(text)) {
    const bool known = merges.ids.count(c);
    if (known) {
      word.push_back(c);
    } else {
      flush();
      if (!(fused && unknown)) ids.push_back(0);
    }
    unknown = !known;
  }
  flush();
  return ids;
}

}  // namespace

TEST(merges_in_order_of_rank) {
  std::mt19937 random(7);
  const std::string letters[] = {"a", "b", "c", "\xc3\xa9", "a", "b", "z", "\xe4\xb8\x96"};
  Folder folder;
  for (i32 round = 0; round < 30; round++) {
    const Merges merges = random_merges(random, round < 3 ? round : 40);
    const bool fused = round % 2;
    write_file(folder / "tokenizer.json", merges.json(fused ? R"(,"fuse_unk":true)" : ""));
    const Built built(folder.path, 100);
    for (i32 t = 0; t < 60; t++) {
      std::string text;
      const size_t known = t % 3 ? 6 : 8;  // or with characters that have no piece
      for (size_t i = random() % 40; i > 0; i--)
        text += letters[random() % known];
      CHECK_EQ(encode(built.tokenizer, text), encoded(merges, text, fused));
    }
  }
}

// Of a word that is a piece, nothing is merged where the vocabulary says so.
TEST(whole_words) {
  Merges merges;
  for (const char* piece : {"?", "a", "b", "c", "abc", "ab", "bc"})
    merges.add(piece);
  merges.list = {{"b", "c"}};
  Folder folder;
  for (bool whole : {false, true}) {
    write_file(folder / "tokenizer.json", merges.json(whole ? R"(,"ignore_merges":true)" : ""));
    const Built built(folder.path, 100);
    CHECK_EQ(encode(built.tokenizer, "abc"), whole ? (Ids{4}) : (Ids{1, 6}));
    CHECK_EQ(encode(built.tokenizer, "ab"), whole ? (Ids{5}) : (Ids{1, 2}));
    CHECK_EQ(encode(built.tokenizer, "abcabc"), (Ids{1, 6, 1, 6}));
    CHECK_EQ(encode(built.tokenizer, "c"), (Ids{3}));
  }
}

TEST(characters_become_bytes) {
  std::string vocab = "\"?\":0,\"a\":1,\"\xc3\xa9\":2";
  for (u32 b = 0; b < 256; b++) {
    char name[32];
    std::snprintf(name, sizeof name, ",\"<0x%02X>\":%u", b, b + 3);
    vocab += name;
  }
  auto json = [&](const std::string& list) {
    return R"({"model":{"type":"BPE","unk_token":"?","byte_fallback":true,"vocab":{)" + list + R"(},"merges":[]}})";
  };
  Folder folder;
  write_file(folder / "tokenizer.json", json(vocab));
  const Built built(folder.path, 300);
  auto byte = [](u8 b) { return 3 + static_cast<i32>(b); };
  CHECK_EQ(encode(built.tokenizer, "a\xc3\xa9z"), (Ids{1, 2, byte('z')}));
  CHECK_EQ(encode(built.tokenizer,
                  "\xe4\xb8\x96"
                  "a"),
           (Ids{byte(0xe4), byte(0xb8), byte(0x96), 1}));
  CHECK_EQ(encode(built.tokenizer, "\xf0\x9f\x91\x8d"), (Ids{byte(0xf0), byte(0x9f), byte(0x91), byte(0x8d)}));
  // Of a character one of whose bytes has no piece, none is given.
  const std::string gone = ",\"<0xB8>\":" + std::to_string(byte(0xb8));
  vocab.erase(vocab.find(gone), gone.size());
  write_file(folder / "tokenizer.json", json(vocab));
  const Built some(folder.path, 300);
  CHECK_EQ(encode(some.tokenizer,
                  "\xe4\xb8\x96"
                  "a"),
           (Ids{0, 1}));
  CHECK_EQ(encode(some.tokenizer, "z\xe4\xb9\x96"), (Ids{byte('z'), byte(0xe4), byte(0xb9), byte(0x96)}));
}

TEST(the_first_id_may_be_that_of_a_byte) {
  Folder folder;
  write_file(
      folder / "tokenizer.json",
      R"({"model":{"type":"BPE","unk_token":"?","byte_fallback":true,"vocab":{"<0x7A>":0,"a":1,"?":2},"merges":[]}})");
  const Built built(folder.path, 300);
  CHECK_EQ(encode(built.tokenizer, "azy"), (Ids{1, 0, 2}));
}

// --- The longest piece each time -------------------------------------------------------------------------------------------

TEST(the_longest_piece) {
  std::mt19937 random(8);
  Folder folder;
  for (i32 round = 0; round < 20; round++) {
    Pieces pieces;
    for (const char* c : {"a", "b", "c"})
      pieces.push_back(c);
    for (i32 i = 0; i < 30; i++) {
      std::string piece;
      for (size_t n = 2 + random() % 6; n > 0; n--)
        piece += static_cast<char>('a' + random() % 3);
      if (std::find(pieces.begin(), pieces.end(), piece) == pieces.end()) pieces.push_back(piece);
    }
    std::string file;
    for (size_t i = 0; i < pieces.size(); i++)
      file += std::to_string(i + 1) + " '" + pieces[i] + "' " + std::to_string(pieces[i].size()) + "\n";
    write_file(folder / "rwkv_vocab.txt", file);
    const Built built(folder / "rwkv_vocab.txt", 100);
    for (i32 t = 0; t < 50; t++) {
      std::string text;
      for (size_t i = random() % 60; i > 0; i--)
        text += static_cast<char>("abcabcz"[random() % (t % 4 ? 6 : 7)]);
      Ids expected;
      for (size_t at = 0; at < text.size();) {
        size_t longest = 0;
        i32 id = -1;
        for (size_t i = 0; i < pieces.size(); i++) {
          if (pieces[i].size() > longest && text.compare(at, pieces[i].size(), pieces[i]) == 0)
            longest = pieces[i].size(), id = static_cast<i32>(i) + 1;
        }
        if (longest) expected.push_back(id);  // a byte that begins no piece is left out
        at += std::max(longest, size_t{1});
      }
      CHECK_EQ(encode(built.tokenizer, text), expected);
    }
  }
}

// --- What cannot be encoded ------------------------------------------------------------------------------------------------

TEST(what_cannot_be_encoded) {
  Section section(convert::build_byte_tokenizer_section(300));
  TokenizerHeader& header = *reinterpret_cast<TokenizerHeader*>(section.data());
  Tokenizer tokenizer, closed;
  CHECK(tokenizer.open(section.span(), 300).ok());
  u64 workspace[64];
  Span<u8> space = {reinterpret_cast<u8*>(workspace), sizeof workspace};
  Ids ids(10);
  i32 count = 7;
  auto says = [&](const Tokenizer& one, Text text) {
    count = 7;
    const Status status = one.encode(text, {}, space, {ids.data(), 10}, &count);
    CHECK(status.ok() || count == 0);
    return std::string(status.text());
  };
  CHECK_EQ(says(closed, "a"), "there is no tokenizer");
  CHECK_EQ(says(tokenizer, {"a", (i64{1} << 28) + 1}), "the text has 268435457 bytes, at most 268435456");
  CHECK(contains(says(tokenizer, {"a", i64{1} << 28}), "tokenizing 268435456 bytes needs an aligned workspace of "));
  CHECK_EQ(says(tokenizer, "abc"), "");
  CHECK_EQ(count, 3);
  space = {reinterpret_cast<u8*>(workspace) + 4, sizeof workspace - 8};
  CHECK(contains(says(tokenizer, "abc"), "needs an aligned workspace"));
  for (i64 size : {tokenizer.workspace_bytes(3) - 1, tokenizer.workspace_bytes(3)}) {
    space = {reinterpret_cast<u8*>(workspace), size};
    CHECK_EQ(says(tokenizer, "abc").empty(), size == tokenizer.workspace_bytes(3));
  }
  space.count = sizeof workspace;
  CHECK_EQ(says(tokenizer, "abcabcabca"), "");
  CHECK_EQ(says(tokenizer, "abcabcabcab"), "the text has 11 tokens, there is room for 10");
  // Ids that a damaged section names.
  for (i32 wrong : {256, 5000}) {
    header.byte_ids[u8{'z'}] = wrong;
    CHECK_EQ(says(tokenizer, "az"), "tokenizer: its tables name id " + std::to_string(wrong) + ", the vocabulary has 256");
    CHECK_EQ(says(tokenizer, "a"), "");
  }
  header.byte_ids[u8{'z'}] = 255;
  CHECK_EQ(says(tokenizer, "z"), "");
  header.bos = 256;
  CHECK(!tokenizer.encode("a", {.add_bos = true}, space, {ids.data(), 10}, &count).ok());
}

// --- Decoding --------------------------------------------------------------------------------------------------------------

namespace {

// The text of bytes: what can never become a character is U+FFFD, once for each part (or each byte); what may still become one is
// left out, or at the end is such a part too.
std::string shown(const std::string& bytes, bool each_byte, bool ended) {
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const i64 left = static_cast<i64>(bytes.size() - at);
    const i32 length = utf8_length(bytes.data() + at, left);
    if (length > 0) {
      out += bytes.substr(at, static_cast<size_t>(length));
      at += static_cast<size_t>(length);
      continue;
    }
    if (length == 0 && !ended) break;
    const i64 bad = length ? -length : left;
    for (i64 i = 0; i < (each_byte ? bad : 1); i++)
      out += REPLACED;
    at += static_cast<size_t>(bad);
  }
  return out;
}

const std::string HARD = "ab\xc3\xa9\xe4\xb8\x96\xf0\x9f\x91\x8d\xe0\xed\xf4\xff\x80\xc0";

// After every id all that is certain is out. A special id is no text; SentencePiece joins no bytes across it.
void check_streams(const Tokenizer& tokenizer, i32 first_byte, i32 special, bool each_byte) {
  std::mt19937 random(9);
  for (i32 round = 0; round < 2000; round++) {
    Decoder decoder(tokenizer, {.specials = false, .continues = true});
    std::string before, bytes, out;  // bytes since the last special id
    auto take = [&] {
      for (Text text; (text = decoder.take()).size != 0;) {
        CHECK(whole_characters(text));
        out.append(text.data, static_cast<size_t>(text.size));
      }
    };
    for (size_t i = random() % 14; i > 0; i--) {
      if (special >= 0 && random() % 6 == 0) {
        decoder.push(special);
        if (each_byte) before += shown(bytes, each_byte, true), bytes.clear();
      } else {
        const char c = HARD[random() % HARD.size()];
        decoder.push(first_byte + static_cast<u8>(c));
        bytes += c;
      }
      take();
      CHECK_EQ(out, before + shown(bytes, each_byte, false));
    }
    decoder.finish();
    take();
    CHECK_EQ(out, before + shown(bytes, each_byte, true));
    CHECK_EQ(decoder.take().size, i64{0});
    decoder.push(first_byte + 'x');  // as new
    take();
    CHECK_EQ(out, before + shown(bytes, each_byte, true) + "x");
  }
}

}  // namespace

TEST(streams_of_bytes) {
  Section section(convert::build_byte_tokenizer_section(300));
  Tokenizer tokenizer;
  CHECK(tokenizer.open(section.span(), 300).ok());
  check_streams(tokenizer, 0, -1, false);
  const Built pieces(GOLDEN_TOKENIZERS + "sentencepiece", 1000);
  CHECK(pieces.tokenizer.special(pieces.tokenizer.bos()));
  check_streams(pieces.tokenizer, 5, pieces.tokenizer.bos(), true);
}

// Pieces of several bytes, cut anywhere: whole, halves, both at once.
TEST(streams_of_pieces) {
  std::mt19937 random(10);
  for (const char* name : {"llama3", "gpt2", "sentencepiece", "world", "qwen2"}) {
    const Built built(GOLDEN_TOKENIZERS + name, 1000);
    const bool each_byte = std::string(name) == "sentencepiece";
    for (i32 round = 0; round < 300; round++) {
      Ids ids;
      std::string bytes;
      for (size_t i = random() % 12; i > 0; i--) {
        const i32 id = static_cast<i32>(random() % static_cast<u32>(built.tokenizer.vocab()));
        if (built.tokenizer.special(id)) continue;
        const Text piece = built.tokenizer.piece(id);
        ids.push_back(id);
        bytes.append(piece.data, static_cast<size_t>(piece.size));
      }
      CHECK_EQ(decode(built.tokenizer, ids, {.specials = false, .continues = true}), shown(bytes, each_byte, true));
    }
  }
}

TEST(a_decoder_of_nothing) {
  const Tokenizer closed;
  Decoder of_closed(closed);
  of_closed.push(5);
  CHECK_EQ(of_closed.take().size, i64{0});
}
