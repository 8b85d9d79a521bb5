// A tokenizer between its source and the section.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "convert/base/json.h"
#include "convert/tokenizer/info.h"
#include "text/section.h"

namespace edgellm::convert {

constexpr size_t MAX_PIECE = 1 << 12;  // bytes; all ways to cut it in two are tried
constexpr u32 MAX_IDS = 1 << 21;       // more than anyone's vocabulary: a wrong id must not take the memory

struct Vocabulary {
  struct Merge {
    u32 rank;
    u32 merged;
  };
  struct Added {
    u32 id;
    u16 flags = 0;            // AddedFlag
    bool normalized = false;  // matched after normalisation, which its text goes through too
    std::string matched;      // its text then
  };

  TokenizerKind kind = TokenizerKind::bytes;
  u32 flags = 0;  // TokenizerFlag
  std::vector<WordSplit> splits;
  std::vector<std::string> pieces;  // by id: what it prints; then characters that only merges know
  std::vector<u8> attributes;       // by id: TokenAttribute
  u32 ids = 0;                      // of `pieces`, those that are ids
  std::map<std::pair<u32, u32>, Merge> pairs;
  std::vector<u32> words;                      // pieces that are looked up by their bytes
  std::unordered_map<std::string, u32> names;  // ids by the texts of tokens, as the source writes them
  std::map<std::string, Added> added;          // by their texts
  std::vector<i32> byte_ids = std::vector<i32>(256, -1);
  u32 max_word = 0;  // of a trie: bytes of its longest piece
  i64 unknown = -1;
  i64 bos = -1, eos = -1;  // as the vocabulary itself says
  bool adds_bos = false;   // the source starts every text with bos
  bool normalizes = true;  // between the two groups of added tokens; else whatever changes the text comes after both
  bool prepends = false;   // normalisation puts a space before an added token's text too
  std::string kind_name;

  // The ids are 0 to `count` - 1 from now on, never fewer than before. Pieces that are no ids move behind them.
  void resize(u32 count);

  // The id of a token by its text, as an added token or any other; -1 if there is none.
  i64 id_of(const std::string& content) const;
};

enum PieceType { PIECE_NORMAL = 1, PIECE_UNKNOWN, PIECE_CONTROL, PIECE_USER_DEFINED, PIECE_UNUSED, PIECE_BYTE };

struct SentencePiece {
  std::string text;
  f32 score = 0;
  u64 type = PIECE_NORMAL;
};

// What SentencePiece saves of a tokenizer that we read; its defaults.
struct SentencePieceModel {
  std::vector<SentencePiece> pieces;
  u64 model_type = 1;
  bool byte_fallback = false;
  bool space_as_suffix = false;
  std::string unknown_surface = " \xe2\x81\x87 ";
  i64 unknown = 0, bos = 1, eos = 2;
  std::string normalizer;
  bool has_character_map = false;
  bool dummy_prefix = true, remove_extra_spaces = true, mark_spaces = true;
};

Vocabulary sentencepiece_vocabulary(const SentencePieceModel& model, const std::string& source);

// RWKV's world vocabulary, piece by piece.
class WorldVocabulary {
 public:
  explicit WorldVocabulary(const std::string& source);
  void add(u32 id, const std::string& piece);
  Vocabulary finish();

 private:
  const std::string& source_;
  Vocabulary v_;
  u32 nodes_ = 1;
};

// What Python means by a literal of bytes, without its quotes; nothing if it is none.
std::optional<std::string> bytes_of_literal(std::string_view text);

// Sets how text is cut in words from what a byte-level vocabulary shows of it.
void infer_words(Vocabulary* v);

// Every way to cut a piece in two symbols becomes a pair of that piece's rank: what SentencePiece and tiktoken do, who look up
// the joined text. `symbols` are the texts that merges may see.
void add_all_pairs(Vocabulary* v, const std::unordered_map<std::string, u32>& symbols, const std::string& piece, u32 id,
                   u32 rank, bool by_character, const std::string& source);

// Adds the step that cuts at spaces when no merge could cross them.
void split_words_if_safe(Vocabulary* v);

// Puts an added token in the vocabulary, which grows when `id` is new; of two with one text the later one counts.
void add_token(Vocabulary* v, const std::string& content, i64 id, u16 flags, bool normalized, const std::string& source);

std::vector<u8> write_section(const Vocabulary& v, const std::string& source);

// The byte that a character of GPT-2's printable alphabet stands for; -1 if it is not in it.
i32 byte_of_printable(u32 character);

// The bytes that a byte-level token stands for; nothing if it has another character.
std::optional<std::string> bytes_of_printable(const std::string& token);

// The byte of a piece such as <0x0A>; -1 for another piece.
i32 byte_of_name(const std::string& piece);

// Spaces for every U+2581.
std::string unmark_spaces(std::string text);

// The first line of `text` without its end, and `text` moves on to the next.
std::string_view take_line(std::string_view* text);

// The length of the UTF-8 character at `at`, 1 for a stray byte.
size_t character_bytes(const std::string& text, size_t at);

// One function a source. `folder` ends without a slash.
Vocabulary read_tokenizer_json(const Json& json, const std::string& source);
Vocabulary read_sentencepiece(const std::string& data, const std::string& source);
Vocabulary read_ranks(const std::string& data, const std::string& source);
Vocabulary read_vocab_and_merges(const Json& vocab, const std::string& merges, const std::string& source);
Vocabulary read_llama2c_tokenizer(const std::string& data, const std::string& source);
Vocabulary read_gguf_vocabulary(const std::string& path, TokenizerInfo* info);  // and what else it says
Vocabulary read_rwkv_vocabulary(const std::string& data, const std::string& source);

bool is_ranks(const std::string& data);
bool is_sentencepiece(const std::string& data);
bool is_llama2c_tokenizer(const std::string& data);
bool is_rwkv_vocabulary(const std::string& data);

}  // namespace edgellm::convert
