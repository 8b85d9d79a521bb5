// The tokenizer section, made by hand from docs/FILE.md: every check of it, with the last value that is still taken, and what is
// found in its tables whatever they say.
//
//   0 header | 1200 piece_offsets 5 | 1224 piece_bytes 7 | 1232 attributes 4 | 1240 pairs 2 | 1272 words 3 | 1296 added 2
//   | 1320 added_bytes 5 | 1325 end
#include <cstring>
#include <functional>

#include "tokenizer_test.h"

using namespace edgellm;

namespace {

constexpr i64 SIZE = 1325;

struct Made {
  std::vector<u8> bytes = std::vector<u8>(SIZE);

  Made() {
    put<u32>(0, 0x014b4f54);
    put<u32>(4, 1200);
    put<u32>(8, 1);  // kind: bytes
    put<u32>(24, 4);
    put<i32>(28, 3);
    put<i32>(32, -1);
    put<i32>(36, -1);
    put<u32>(44, 3);  // word_probes
    put<u32>(48, 2);  // max_word
    put<u32>(52, 1);  // added_raw
    const u32 tables[] = {1200, 5, 1224, 7, 1232, 4, 1240, 2, 1272, 3, 1296, 2, 1320, 5};
    for (size_t i = 0; i < 14; i++)
      put(56 + 4 * i, tables[i]);
    for (size_t byte = 0; byte < 256; byte++)
      put<i32>(176 + 4 * byte, byte == 'a' ? 0 : byte == 'b' ? 1 : -1);
    const u32 offsets[] = {0, 1, 2, 4, 7};
    for (size_t i = 0; i < 5; i++)
      put(1200 + 4 * i, offsets[i]);
    text(1224, "abab<s>");
    put<u8>(1235, 1);  // the last is special
    for (size_t slot = 0; slot < 2; slot++)
      put<u32>(1240 + 16 * slot + 12, 0xffffffff);
    for (size_t slot = 0; slot < 3; slot++)
      word(slot, 0, 0xffffffff);
    added(0, 0, 3, 1, 3);
    added(1, 3, 2, 0, 2);
    text(1320, "<s>ab");
    put<u32>(112 + 4 * ('<' / 32), 1u << '<' % 32);
    put<u32>(144 + 4 * ('a' / 32), 1u << 'a' % 32);
  }
  template <class T>
  void put(size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  void text(size_t at, const std::string& what) { std::memcpy(bytes.data() + at, what.data(), what.size()); }
  void word(size_t slot, u32 hash, u32 piece) {
    put(1272 + 8 * slot, hash);
    put(1276 + 8 * slot, piece);
  }
  void added(size_t index, u32 offset, u16 size, u16 flags, u32 id) {
    const size_t at = 1296 + 12 * index;
    put(at, offset);
    put(at + 4, size);
    put(at + 6, flags);
    put(at + 8, id);
  }
};

std::string refusal(const Made& made, i32 vocab = 4) {
  Section section(made.bytes);
  Tokenizer tokenizer;
  Status status = tokenizer.open(section.span(), vocab);
  CHECK(status.ok() || status.code() == Code::bad_model);
  CHECK_EQ(tokenizer.vocab(), status.ok() ? 4 : 0);
  return status.text();
}

// With one number of the header changed.
std::string with_u32(size_t at, u32 value, i32 vocab = 4) {
  Made made;
  made.put(at, value);
  return refusal(made, vocab);
}

// A tokenizer over what was made.
struct Loaded {
  Section section;
  Tokenizer tokenizer;

  explicit Loaded(const Made& made) : section(made.bytes) {
    Status status = tokenizer.open(section.span(), 4);
    CHECK_EQ(std::string(status.text()), "");
  }
  std::string piece(i32 id) const {
    Text text = tokenizer.piece(id);
    return {text.data, static_cast<size_t>(text.size)};
  }
};

// As docs/FILE.md says it.
u32 hash_of(const std::string& word) {
  u64 h = 0xcbf29ce484222325u;
  for (char c : word)
    h = (h ^ static_cast<u8>(c)) * 0x100000001b3u;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
  return static_cast<u32>(h >> 32);
}

#define T "tokenizer: "

}  // namespace

TEST(a_section_made_by_hand_is_read) {
  CHECK_EQ(refusal(Made()), "");
  Loaded loaded{Made()};
  CHECK_EQ(loaded.tokenizer.bos(), 3);
  CHECK_EQ(loaded.piece(0) + "," + loaded.piece(1) + "," + loaded.piece(2) + "," + loaded.piece(3), "a,b,ab,<s>");
  CHECK_EQ(loaded.piece(-1) + loaded.piece(4), "");
  CHECK(!loaded.tokenizer.special(2) && loaded.tokenizer.special(3) && !loaded.tokenizer.special(4));
  CHECK_EQ(loaded.tokenizer.find_added("<s>"), 3);
  CHECK_EQ(loaded.tokenizer.find_added("ab"), 2);
  for (const char* text : {"", "<", "<s", "<s>a", "a", "b", "abb"})
    CHECK_EQ(loaded.tokenizer.find_added(text), -1);
  CHECK_EQ(encode(loaded.tokenizer, "ba", {.add_bos = true}), (Ids{3, 1, 0}));
  Tokenizer none;
  CHECK(none.find_added("ab") == -1 && none.piece(0).size == 0 && !none.special(0) && none.bos() == -1 && none.vocab() == 0);
}

TEST(the_header_of_a_section) {
  Made made;
  made.bytes.resize(1199);
  CHECK_EQ(refusal(made), T "1199 bytes, its header has 1200");
  made.bytes.resize(1200);
  CHECK_EQ(refusal(made), T "piece offsets at 1200 with 5 entries do not lie in the section of 1200 bytes");
  made.bytes.clear();
  CHECK_EQ(refusal(made), T "0 bytes, its header has 1200");
  std::vector<u64> storage(200);
  std::memcpy(reinterpret_cast<u8*>(storage.data()) + 4, Made().bytes.data(), SIZE);
  Tokenizer tokenizer;
  Status status = tokenizer.open({reinterpret_cast<u8*>(storage.data()) + 4, SIZE}, 4);
  CHECK_EQ(std::string(status.text()), T "section is not aligned");

  CHECK_EQ(with_u32(0, 0x014b4f55), T "magic 014b4f55 with a header of 1200 bytes, expected 014b4f54 with 1200");
  CHECK_EQ(with_u32(4, 1201), T "magic 014b4f54 with a header of 1201 bytes, expected 014b4f54 with 1200");
  CHECK_EQ(with_u32(4, 1199), T "magic 014b4f54 with a header of 1199 bytes, expected 014b4f54 with 1200");
  CHECK_EQ(with_u32(8, 0), T "kind 0 is unknown, expected 1 to 3");
  CHECK_EQ(with_u32(8, 4), T "kind 4 is unknown, expected 1 to 3");
  for (u32 kind : {1u, 2u, 3u}) {
    CHECK_EQ(with_u32(8, kind), "");
    for (u32 longest : {1024u, 1025u}) {
      Made of_kind;
      of_kind.put(8, kind);
      of_kind.put(48, longest);
      CHECK_EQ(refusal(of_kind), kind == 3 && longest == 1025 ? T "pieces of up to 1025 bytes, at most 1024" : "");
    }
  }
}

TEST(flags_of_a_section) {
  for (u32 bit = 0; bit < 32; bit++) {
    char unknown[64];
    std::snprintf(unknown, sizeof unknown, T "unknown flags %08x", 1u << bit);
    CHECK_EQ(with_u32(12, 1u << bit), bit < 13 ? "" : unknown);
  }
  CHECK_EQ(with_u32(12, 0x1ffe), "");
  CHECK_EQ(with_u32(12, 0x03), T "flags 00000003 exclude each other");
  CHECK_EQ(with_u32(12, 0x09), T "flags 00000009 exclude each other");
  CHECK_EQ(with_u32(12, 0x11), T "flags 00000011 exclude each other");
  CHECK_EQ(with_u32(12, 0x31), T "flags 00000031 exclude each other");
  CHECK_EQ(with_u32(12, 0x53), T "flags 00000053 exclude each other");
  CHECK_EQ(with_u32(12, 0x51), "");
  CHECK_EQ(with_u32(12, 0x1fe5), "");
}

TEST(steps_of_a_section) {
  const struct {
    std::vector<u8> splits;
    const char* says;
  } cases[] = {
      {{1, 2, 3, 4}, ""},
      {{6, 5}, ""},
      {{6, 6, 6, 6}, ""},
      {{7}, T "step 0 of cutting words is 7"},
      {{255}, T "step 0 of cutting words is 255"},
      {{1, 2, 3, 7}, T "step 3 of cutting words is 7"},
      {{0, 1}, T "step 1 of cutting words is 1"},
      {{1, 0, 2}, T "step 2 of cutting words is 2"},
      {{1, 2, 3, 4, 5}, T "step 4 of cutting words is 5"},
      {{0, 0, 0, 0, 0, 0, 0, 1}, T "step 7 of cutting words is 1"},
      {{0, 0, 0, 0, 0, 0, 0, 7}, T "step 7 of cutting words is 7"},
  };
  for (const auto& one : cases) {
    Made made;
    for (size_t i = 0; i < one.splits.size(); i++)
      made.put(16 + i, one.splits[i]);
    CHECK_EQ(refusal(made), one.says);
  }
}

TEST(ids_and_probes_of_a_section) {
  CHECK_EQ(with_u32(24, 0), T "0 ids, the model has 4");
  CHECK_EQ(with_u32(24, 5), T "5 ids, the model has 4");
  CHECK_EQ(with_u32(24, 0xffffffff), T "4294967295 ids, the model has 4");
  CHECK_EQ(refusal(Made(), 5), "");
  CHECK_EQ(refusal(Made(), 3), T "4 ids, the model has 3");
  CHECK_EQ(refusal(Made(), -1), T "4 ids, the model has -1");
  for (size_t at : {size_t{28}, size_t{32}, size_t{36}}) {  // bos, eos, unknown
    CHECK_EQ(with_u32(at, 0xfffffffe), T "id -2 of 4");
    CHECK_EQ(with_u32(at, 0xffffffff), "");
    CHECK_EQ(with_u32(at, 3), "");
    CHECK_EQ(with_u32(at, 4), T "id 4 of 4");
  }
  CHECK_EQ(with_u32(40, 64), "");
  CHECK_EQ(with_u32(44, 64), "");
  CHECK_EQ(with_u32(40, 65), T "65 and 3 probes, at most 64");
  CHECK_EQ(with_u32(44, 65), T "0 and 65 probes, at most 64");
}

TEST(tables_of_a_section) {
  const struct {
    const char* name;
    u32 size;  // of an entry
  } tables[] = {{"piece offsets", 4}, {"piece bytes", 1},   {"attributes", 1}, {"pairs", 16},
                {"words", 8},         {"added tokens", 12}, {"added bytes", 1}};
  for (size_t i = 0; i < 7; i++) {
    auto with = [&](u32 offset, u32 count) {
      Made made;
      made.put(56 + 8 * i, offset);
      made.put(60 + 8 * i, count);
      return refusal(made);
    };
    auto outside = [&](u32 offset, u32 count) {
      return T + std::string(tables[i].name) + " at " + std::to_string(offset) + " with " + std::to_string(count) +
             " entries do not lie in the section of 1325 bytes";
    };
    const u32 most = 125 / tables[i].size;
    CHECK_EQ(with(1200, most), "");
    for (auto [offset, count] : {std::pair(1200u, most + 1), std::pair(1192u, 5u), std::pair(0u, 5u), std::pair(1204u, 5u),
                                 std::pair(1328u, 0u), std::pair(1200u, 0xffffffffu), std::pair(0xfffffff8u, 8u)})
      CHECK_EQ(with(offset, count), outside(offset, count));
    const bool needed = i == 0 || i == 2 || i == 5;
    CHECK_EQ(with(1320, 0), needed ? with(1200, 0) : "");
  }
  const std::string four = T "4 ids with ";
  CHECK_EQ(with_u32(60, 5), "");
  CHECK_EQ(with_u32(60, 4), four + "4 offsets and 4 attributes; 1 of 2 added tokens");
  CHECK_EQ(with_u32(76, 3), four + "5 offsets and 3 attributes; 1 of 2 added tokens");
  CHECK_EQ(with_u32(52, 2), "");
  CHECK_EQ(with_u32(52, 3), four + "5 offsets and 4 attributes; 3 of 2 added tokens");
  CHECK_EQ(with_u32(100, 0), four + "5 offsets and 4 attributes; 1 of 0 added tokens");
}

// Pieces whose offsets make no sense are empty.
TEST(offsets_of_pieces) {
  const struct {
    u32 begin, end;  // of piece 1
    const char* piece;
  } cases[] = {{1, 2, "b"}, {1, 7, "bab<s>"}, {1, 8, ""}, {3, 2, ""},
               {2, 2, ""},  {7, 7, ""},       {8, 9, ""}, {0, 0xffffffff, ""}};
  for (const auto& one : cases) {
    Made made;
    made.put(1204, one.begin);
    made.put(1208, one.end);
    CHECK_EQ(Loaded(made).piece(1), one.piece);
  }
}

TEST(added_tokens_whatever_they_say) {
  auto found = [](u32 offset, u16 size, u32 id) {  // of the first
    Made made;
    made.added(0, offset, size, 1, id);
    return Loaded(made).tokenizer.find_added("<s>");
  };
  CHECK_EQ(found(0, 3, 3), 3);
  CHECK_EQ(found(0, 3, 0), 0);
  CHECK_EQ(found(0, 3, 4), -1);  // no id
  CHECK_EQ(found(3, 3, 3), -1);  // past the table
  CHECK_EQ(found(6, 3, 3), -1);
  CHECK_EQ(found(0xffffffff, 3, 3), -1);
  CHECK_EQ(found(0, 2, 3), -1);
  CHECK_EQ(found(0, 0, 3), -1);
  CHECK_EQ(found(0, 5, 3), -1);
  CHECK_EQ(found(0, 6, 3), -1);
  Made end;  // a text to the end of the table
  end.added(0, 3, 2, 0, 1);
  CHECK_EQ(Loaded(end).tokenizer.find_added("ab"), 1);  // of the first group
  Made both;
  both.put<u32>(52, 2);
  CHECK_EQ(Loaded(both).tokenizer.find_added("ab"), 2);
  CHECK_EQ(Loaded(both).tokenizer.find_added("<s>"), 3);
  Made none;
  none.put<u32>(52, 0);
  none.added(0, 3, 2, 0, 1);
  none.added(1, 0, 3, 0, 2);  // not sorted: found or not, but no further than the table
  CHECK(Loaded(none).tokenizer.find_added("<s>") <= 2);
}

// The longest of those that begin alike.
TEST(added_tokens_that_begin_alike) {
  const std::vector<std::string> texts = {"<", "<a", "<a>", "<ab>", "<b", "=", "\xff"};
  std::string all;
  Made made;
  made.bytes.resize(1328 + 12 * texts.size());
  for (size_t i = 0; i < texts.size(); i++) {
    const size_t at = 1328 + 12 * i;
    made.put<u32>(at, static_cast<u32>(all.size()));
    made.put<u16>(at + 4, static_cast<u16>(texts[i].size()));
    made.put<u32>(at + 8, static_cast<u32>(i % 4));
    all += texts[i];
  }
  made.put<u32>(96, 1328);
  made.put<u32>(100, static_cast<u32>(texts.size()));
  made.put<u32>(52, static_cast<u32>(texts.size()));
  made.put<u32>(104, static_cast<u32>((made.bytes.size() + 7) / 8 * 8));
  made.bytes.resize((made.bytes.size() + 7) / 8 * 8 + all.size());
  made.put<u32>(108, static_cast<u32>(all.size()));
  made.text(made.bytes.size() - all.size(), all);
  Loaded loaded(made);
  for (size_t i = 0; i < texts.size(); i++)
    CHECK_EQ(loaded.tokenizer.find_added(view(texts[i])), static_cast<i32>(i % 4));
  for (const char* text : {"<ab", "<c", ";", ">", "<a>>", "\xfe", "<b>"})
    CHECK_EQ(loaded.tokenizer.find_added(text), -1);
}

// Whole words are looked for in slots that follow each other, the first after the last, until an empty one or enough.
TEST(words_are_probed) {
  const u32 hash = hash_of("ab");
  const size_t first = static_cast<size_t>((u64{hash} * 3) >> 32);
  auto encoded = [&](size_t distance, const std::function<void(Made&)>& change) {
    Made made;
    made.put<u32>(12, 1u << 7);
    made.put<u32>(52, 0);
    made.put<u32>(100, 0);  // no added tokens, of which one has this text
    for (size_t slot = 0; slot < 3; slot++)
      made.word(slot, hash, 1);  // the same hash, another piece
    made.word((first + distance) % 3, hash, 2);
    change(made);
    return encode(Loaded(made).tokenizer, "ab");
  };
  const Ids whole = {2}, bytes = {0, 1};
  for (size_t distance : {size_t{0}, size_t{1}, size_t{2}}) {
    CHECK_EQ(encoded(distance, [](Made&) {}), whole);
    for (u32 probes = 0; probes < 5; probes++)
      CHECK_EQ(encoded(distance, [&](Made& made) { made.put(44, probes); }), probes > distance ? whole : bytes);
    CHECK_EQ(encoded(distance, [&](Made& made) { made.word(first, hash, 0xffffffff); }), bytes);
    CHECK_EQ(encoded(distance, [&](Made& made) { made.word((first + distance) % 3, hash + 1, 2); }), bytes);
    CHECK_EQ(encoded(distance, [](Made& made) { made.put<u32>(48, 1); }), bytes);  // max_word
    CHECK_EQ(encoded(distance, [](Made& made) { made.put<u32>(12, 0); }), bytes);
    CHECK_EQ(encoded(distance, [](Made& made) { made.put<u32>(92, 0); }), bytes);  // no words
  }
}

// As Python's long integers compute what docs/FILE.md says.
TEST(hashes_of_a_section) {
  const struct {
    u32 left, right, hash;
  } pairs[] = {
      {0, 0, 0}, {0, 1, 0x17fb89ee}, {1, 0, 0xce457292}, {97, 98, 0x4407f99f}, {0xffffffff, 0xfffffffe, 0x161f2bf4}};
  for (const auto& one : pairs)
    CHECK_EQ(pair_hash(one.left, one.right), one.hash);
  const std::pair<Text, u32> words[] = {
      {"", 0xfdbdf6ac}, {"a", 0x2ef7d131}, {"ab", 0x9b5f19fb}, {" the", 0xcd20b954}, {"\xff\x80", 0x4cb7efae}};
  for (const auto& [word, hash] : words)
    CHECK_EQ(word_hash(word), hash);
  const struct {
    u32 hash, slots, first;
  } places[] = {{0, 3, 0},
                {0x55555555, 3, 0},
                {0x55555556, 3, 1},
                {0xffffffff, 3, 2},
                {0xffffffff, 1 << 20, (1 << 20) - 1},
                {0x80000000, 7, 3},
                {0xffffffff, 0xffffffff, 0xfffffffe}};
  for (const auto& one : places)
    CHECK_EQ(first_slot(one.hash, one.slots), one.first);
}

// Two neighbours in either slot; the probes are as many as there are slots.
TEST(pairs_are_probed) {
  for (size_t slot = 0; slot < 2; slot++) {
    Made made;
    made.put<u32>(52, 0);
    made.put<u32>(100, 0);
    made.put<u32>(40, 2);  // pair_probes
    for (size_t other = 0; other < 2; other++) {
      const u32 numbers[] = {other == slot ? 0u : 1u, 1, 0, other == slot ? 2u : 3u};  // a b: ab; b b: <s>
      for (size_t i = 0; i < 4; i++)
        made.put(1240 + 16 * other + 4 * i, numbers[i]);
    }
    CHECK_EQ(encode(Loaded(made).tokenizer, "ab"), (Ids{2}));
    CHECK_EQ(encode(Loaded(made).tokenizer, "bb"), (Ids{3}));
    CHECK_EQ(encode(Loaded(made).tokenizer, "ba"), (Ids{1, 0}));
    made.put<u32>(40, 0);
    CHECK_EQ(encode(Loaded(made).tokenizer, "ab"), (Ids{0, 1}));
  }
}
