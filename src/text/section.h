// The bytes of the tokenizer section, little endian; docs/FILE.md describes them in full. The converter writes everything in
// the form in which it is looked up, so that opening a tokenizer reads this header and nothing else.
//
//   TokenizerHeader | piece offsets | piece bytes | attributes | pair slots | word slots | added tokens | added bytes
#pragma once
#include "base/types.h"

namespace edgellm {

constexpr u32 TOKENIZER_MAGIC = 0x014b4f54;  // "TOK\1"
constexpr u32 TOKENIZER_ALIGNMENT = 8;       // of the section in memory and of every table in it
constexpr u32 TOKENIZER_MAX_PROBES = 64;     // of either hash table
constexpr i32 TOKENIZER_MAX_STEPS = 4;
constexpr u32 TOKENIZER_MAX_PATH = 1024;  // of a trie

// What the first symbols of a word are.
enum class TokenizerKind : u32 {
  bytes = 1,       // every byte: byte-level BPE, and with no pairs the plain byte vocabulary
  characters = 2,  // every UTF-8 character: SentencePiece BPE
  trie = 3,        // none: a word is cut in pieces, each the longest that fits (RWKV's world vocabulary)
};

// How text is cut in words before merging; steps are applied one after the other, each to the words of the one before.
enum class WordSplit : u8 {
  none = 0,    // ends the list
  gpt2 = 1,    // the regular expression of GPT-2: contractions, letters, numbers, the rest, white space
  llama3 = 2,  // of Llama 3 (and cl100k): any case, one odd character before letters, numbers by three, line ends
  qwen2 = 3,   // as llama3, numbers one by one
  digits = 4,  // every character of Unicode category N alone
  spaces = 5,  // every space starts a word (the pieces' space, U+0020)
  words = 6,   // a space after something else starts a word: no merge crosses that, so it only saves time and ends no run
};

enum TokenizerFlag : u32 {
  TOKENIZER_NFC = 1u << 0,                  // text is brought to Unicode normalisation form C
  TOKENIZER_SPACE_MARK = 1u << 1,           // U+2581 in the text is a space
  TOKENIZER_REPLACE_INVALID = 1u << 2,      // a byte that is not UTF-8 is read as U+FFFD (otherwise as itself)
  TOKENIZER_TRIM_SPACES = 1u << 3,          // leading and trailing spaces go, runs of spaces become one
  TOKENIZER_PREFIX = 1u << 4,               // a space is put before every stretch of text between added tokens
  TOKENIZER_PREFIX_FIRST = 1u << 5,         // ... only before the very start of the text
  TOKENIZER_PREFIX_MISSING = 1u << 6,       // ... only where there is no space already
  TOKENIZER_WHOLE_WORDS = 1u << 7,          // a word that is a piece is taken at once, whatever the merges say
  TOKENIZER_BYTE_FALLBACK = 1u << 8,        // characters: an unknown one becomes the pieces of its bytes
  TOKENIZER_FUSE_UNKNOWN = 1u << 9,         // a run of unknowns in a word gives one unknown id
  TOKENIZER_STRIP_FIRST_SPACE = 1u << 10,   // decoding: the space that starts the text is dropped
  TOKENIZER_STRIP_FIRST_SPACES = 1u << 11,  // decoding: all spaces that start the first piece are dropped
  TOKENIZER_ADDED_FIRST = 1u << 12,         // normalisation comes after both groups of added tokens, not between them
  TOKENIZER_FLAGS = (1u << 13) - 1,
};

struct TokenizerTable {
  u32 offset;  // from the start of the section, multiple of 8
  u32 count;   // elements
};

struct TokenizerHeader {
  u32 magic;
  u32 header_bytes;  // sizeof(TokenizerHeader)
  u32 kind;          // enum TokenizerKind
  u32 flags;         // TokenizerFlag bits
  u8 splits[8];      // enum WordSplit, at most TOKENIZER_MAX_STEPS, then 0
  u32 vocab;         // ids are 0 to vocab - 1
  i32 bos;           // id that starts a text, -1: none
  i32 eos;           // id that ends a text, -1: none
  i32 unknown;       // id of what cannot be expressed, -1: it is left out
  u32 pair_probes;   // longest run of slots that a lookup may need, at most TOKENIZER_MAX_PROBES
  u32 word_probes;
  u32 max_word;                  // bytes of the longest piece in the word table, or in the trie
  u32 added_raw;                 // so many of the added tokens are matched first, the others in what these leave
  TokenizerTable piece_offsets;  // u32: piece i is the bytes [offset[i], offset[i + 1]) of piece_bytes
  TokenizerTable piece_bytes;    // u8: what a piece prints
  TokenizerTable attributes;     // u8 for each id: TokenAttribute bits
  TokenizerTable pairs;          // PairSlot
  TokenizerTable words;          // WordSlot
  TokenizerTable added;          // AddedToken, each of the two groups sorted by its text (the second: as it is normalised)
  TokenizerTable added_bytes;    // u8: the text of added tokens
  u32 added_first[2][8];         // bit b of a group: a text in it starts with byte b
  i32 byte_ids[256];             // id of each single byte (kind bytes), or of its fallback piece; -1: none
};
static_assert(sizeof(TokenizerHeader) == 56 + 7 * 8 + 64 + 1024);

enum TokenAttribute : u8 {
  TOKEN_SPECIAL = 1,  // steers the model; printed only on request
};

constexpr i32 WORD_SPLITS = 7;  // of enum WordSplit

constexpr u32 NO_TOKEN = 0xffffffff;

// Neighbours `left` and `right` may become `merged`; of all candidates the lowest rank goes first, then the leftmost.
// In a trie: from the node `left` the byte `right` leads to the node `merged`; `rank` is the id of the piece that ends there or
// NO_TOKEN. The root is node 0, no path is longer than `max_word`.
struct PairSlot {
  u32 left;
  u32 right;
  u32 rank;
  u32 merged;  // NO_TOKEN: the slot is empty
};
static_assert(sizeof(PairSlot) == 16);

struct WordSlot {
  u32 hash;   // all bits of word_hash
  u32 piece;  // NO_TOKEN: the slot is empty
};
static_assert(sizeof(WordSlot) == 8);

enum AddedFlag : u16 {
  ADDED_SPECIAL = 1,      // matched only on request
  ADDED_STRIP_LEFT = 2,   // takes the white space before it along
  ADDED_STRIP_RIGHT = 4,  // takes the white space after it along
};

struct AddedToken {
  u32 offset;  // of its text in added_bytes
  u16 bytes;   // of its text, at least 1
  u16 flags;   // AddedFlag bits
  u32 id;
};
static_assert(sizeof(AddedToken) == 12);

// Where the probing of a table of `slots` entries starts: the high bits of the hash, scaled; the next slot follows, the first
// one after the last.
static inline u32 first_slot(u32 hash, u32 slots) {
  return static_cast<u32>((static_cast<u64>(hash) * slots) >> 32);
}

static inline u32 pair_hash(u32 left, u32 right) {
  u64 h = (static_cast<u64>(left) << 32 | right) * 0x9e3779b97f4a7c15u;
  h = (h ^ h >> 32) * 0xd6e8feb86659fd93u;
  return static_cast<u32>(h >> 32);
}

// FNV-1a of 64 bits, mixed: its high bits alone would not tell short words apart.
static inline u32 word_hash(Text word) {
  u64 h = 0xcbf29ce484222325u;
  for (i64 i = 0; i < word.size; i++)
    h = (h ^ static_cast<u8>(word[i])) * 0x100000001b3u;
  return static_cast<u32>(((h ^ h >> 32) * 0xd6e8feb86659fd93u) >> 32);
}

}  // namespace edgellm
