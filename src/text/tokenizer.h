// Text to token ids and back. A Tokenizer is a view over the tokenizer section of a mapped model file (src/text/section.h):
// its tables are ready to use, so opening one takes constant time, and every lookup is bounded and checked where it is made,
// because any byte of the section may be hostile. Nothing here allocates.
//
//   text -> added tokens -> normalised -> words -> symbols -> merged by rank -> ids
#pragma once
#include "base/status.h"
#include "text/section.h"

namespace edgellm {

// Of a model file: when it is made, and when it is used.
inline constexpr Text NO_TOKENIZER = "the model has no tokenizer: it takes and gives ids";

struct EncodeOptions {
  bool add_bos = false;         // put the file's start id first (nothing when it names none)
  bool parse_special = false;   // texts such as <|eot_id|> become the ids of special tokens; otherwise they are plain text
  bool continues = false;       // the text goes on from another: no space is put before it
  Span<const Text> plain = {};  // parts of the text, ascending, that stay plain text whatever `parse_special` says
};

class Tokenizer {
 public:
  static constexpr i64 MAX_TEXT = 1 << 28;  // bytes

  // `section` must outlive the tokenizer and start at a multiple of 8; `vocab` is the model's number of ids. Reads the header
  // only. Fails (bad_model) when the header is wrong, a table leaves the section, or the section has more ids than `vocab`.
  Status open(Span<const u8> section, i32 vocab);

  // Bytes of workspace that `encode` needs for a text of `text_bytes` bytes, whatever they are: about 33 for each, 99 where
  // the tokenizer normalises Unicode. A multiple of 64.
  i64 workspace_bytes(i64 text_bytes) const;

  // A text of n bytes never gives more ids than this.
  i64 max_ids(i64 text_bytes) const;

  // Encodes `text` (any bytes) to ids[0, *count), all in [0, vocab). `workspace` starts at a multiple of 8 and its contents
  // before do not matter. Fails with needed and available sizes when `workspace` or `ids` is too small; *count is 0 then.
  Status encode(Text text, EncodeOptions options, Span<u8> workspace, Span<i32> ids, i32* count) const;

  // The bytes that `id` prints, which need not be whole characters; empty for ids outside the vocabulary.
  Text piece(i32 id) const;

  // True for ids that steer the model (start, end, roles) and are not text.
  bool special(i32 id) const;

  // The id of the added token whose text is exactly `text` (such as "<|im_end|>"), -1 if there is none.
  i32 find_added(Text text) const;

  i32 vocab() const { return vocab_; }  // ids that the section knows, at most those of the model
  i32 bos() const { return bos_; }      // -1: none
  TokenizerKind kind() const { return static_cast<TokenizerKind>(header_->kind); }

 private:
  friend class Decoder;
  friend class Encoder;
  enum class AddedGroup { raw, normalized };  // matched in the text as it is, and in what normalisation makes of the rest

  Text stored_piece(u32 index) const;  // also of the pieces after the vocabulary, which only the word table names
  u32 find_word(Text word) const;      // the piece that is `word`, NO_TOKEN if the word table has none
  i32 added_byte(u32 index, i64 i) const;
  const AddedToken* longest_added(Text text, AddedGroup group) const;  // that `text` starts with, null if there is none

  const TokenizerHeader* header_ = nullptr;
  const u32* piece_offsets_ = nullptr;
  const char* piece_bytes_ = nullptr;
  const u8* attributes_ = nullptr;
  const PairSlot* pairs_ = nullptr;
  const WordSlot* words_ = nullptr;
  const AddedToken* added_ = nullptr;
  const char* added_bytes_ = nullptr;
  i32 vocab_ = 0;
  i32 bos_ = -1;
};

struct DecodeOptions {
  bool specials = false;   // print special tokens too
  bool continues = false;  // the text goes on from a prompt: its first space is kept
};

// Ids to UTF-8 text, one id at a time; half characters are held back until they are whole. What can never become a character
// is given out as U+FFFD: once for each maximal part of a sequence (byte-level vocabularies), once for each byte (SentencePiece).
//
//   decoder.push(id);
//   for (Text text; (text = decoder.take()).size != 0;) print(text);
//   ... after the last id: decoder.finish(); take() in the same way
class Decoder {
 public:
  Decoder() = default;
  explicit Decoder(const Tokenizer& tokenizer, DecodeOptions options = {});

  // Adds the piece of `id`. What was not taken before is lost, so take until empty after each push.
  void push(i32 id);

  // The bytes of the id pushed last that are printed, which need not be whole characters; until the first take.
  Text pushed() const { return rest_; }

  // No id follows: what is held back is given out as U+FFFD. Then the decoder is as new, except that it knows whether it printed.
  void finish();

  // Behind what was taken, the beginning of a character is held back.
  bool inside() const { return held_bytes_ > 0; }

  // The next part of the text that is certain, always whole characters; empty when all was taken. Valid until the next call of
  // any member.
  Text take();

 private:
  Text reject(i32 bytes);

  const Tokenizer* tokenizer_ = nullptr;
  DecodeOptions options_;
  Text rest_;          // of the piece pushed last
  char held_[4] = {};  // start of a character
  i32 held_bytes_ = 0;
  i32 bad_ = 0;        // U+FFFD still to give out
  bool start_ = true;  // nothing was printed yet
  bool finishing_ = false;
};

}  // namespace edgellm
