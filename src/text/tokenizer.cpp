// Opening the section and the lookups that encoding and decoding share.
#include "text/tokenizer.h"

namespace edgellm {

// Checks that a table lies in the section, and gives its start.
template <class T>
static Status find_table(Span<const u8> section, const char* name, TokenizerTable table, const T** start) {
  u64 end = table.offset + static_cast<u64>(table.count) * sizeof(T);
  if (table.offset % TOKENIZER_ALIGNMENT || table.offset < sizeof(TokenizerHeader) ||
      end > static_cast<u64>(section.count)) {
    return bad_model("tokenizer: ", name, " at ", table.offset, " with ", table.count,
                     " entries do not lie in the section of ", section.count, " bytes");
  }
  *start = reinterpret_cast<const T*>(section.data + table.offset);
  return {};
}

static Status check_header(const TokenizerHeader& h, i32 vocab) {
  if (h.magic != TOKENIZER_MAGIC || h.header_bytes != sizeof(TokenizerHeader)) {
    return bad_model("tokenizer: magic ", Hex{h.magic, 8}, " with a header of ", h.header_bytes, " bytes, expected ",
                     Hex{TOKENIZER_MAGIC, 8}, " with ", static_cast<u64>(sizeof(TokenizerHeader)));
  }
  if (h.kind < static_cast<u32>(TokenizerKind::bytes) || h.kind > static_cast<u32>(TokenizerKind::trie)) {
    return bad_model("tokenizer: kind ", h.kind, " is unknown, expected 1 to 3");
  }
  if (h.kind == static_cast<u32>(TokenizerKind::trie) && h.max_word > TOKENIZER_MAX_PATH) {
    return bad_model("tokenizer: pieces of up to ", h.max_word, " bytes, at most ", TOKENIZER_MAX_PATH);
  }
  if (h.flags & ~static_cast<u32>(TOKENIZER_FLAGS)) return bad_model("tokenizer: unknown flags ", Hex{h.flags, 8});
  bool spaces = h.flags & (TOKENIZER_SPACE_MARK | TOKENIZER_TRIM_SPACES);
  bool prefix = (h.flags & TOKENIZER_PREFIX) && !(h.flags & TOKENIZER_PREFIX_MISSING);
  if ((h.flags & TOKENIZER_NFC) && (spaces || prefix))
    return bad_model("tokenizer: flags ", Hex{h.flags, 8}, " exclude each other");
  bool ended = false;
  for (i32 i = 0; i < 8; i++) {
    if (h.splits[i] >= WORD_SPLITS || (h.splits[i] && (ended || i >= TOKENIZER_MAX_STEPS))) {
      return bad_model("tokenizer: step ", i, " of cutting words is ", static_cast<i32>(h.splits[i]));
    }
    ended = h.splits[i] == 0;
  }
  if (h.vocab == 0 || vocab < 0 || h.vocab > static_cast<u32>(vocab)) {
    return bad_model("tokenizer: ", h.vocab, " ids, the model has ", vocab);
  }
  const i32 named[] = {h.bos, h.eos, h.unknown};
  for (i32 id : named) {
    if (id < -1 || id >= static_cast<i32>(h.vocab)) return bad_model("tokenizer: id ", id, " of ", h.vocab);
  }
  if (h.pair_probes > TOKENIZER_MAX_PROBES || h.word_probes > TOKENIZER_MAX_PROBES) {
    return bad_model("tokenizer: ", h.pair_probes, " and ", h.word_probes, " probes, at most ", TOKENIZER_MAX_PROBES);
  }
  return {};
}

Status Tokenizer::open(Span<const u8> section, i32 vocab) {
  *this = {};
  if (reinterpret_cast<uintptr_t>(section.data) % TOKENIZER_ALIGNMENT) return bad_model("tokenizer: section is not aligned");
  if (section.count < static_cast<i64>(sizeof(TokenizerHeader))) {
    return bad_model("tokenizer: ", section.count, " bytes, its header has ", static_cast<u64>(sizeof(TokenizerHeader)));
  }
  const TokenizerHeader& h = *reinterpret_cast<const TokenizerHeader*>(section.data);
  EDGELLM_TRY(check_header(h, vocab));
  Tokenizer t;
  EDGELLM_TRY(find_table(section, "piece offsets", h.piece_offsets, &t.piece_offsets_));
  EDGELLM_TRY(find_table(section, "piece bytes", h.piece_bytes, &t.piece_bytes_));
  EDGELLM_TRY(find_table(section, "attributes", h.attributes, &t.attributes_));
  EDGELLM_TRY(find_table(section, "pairs", h.pairs, &t.pairs_));
  EDGELLM_TRY(find_table(section, "words", h.words, &t.words_));
  EDGELLM_TRY(find_table(section, "added tokens", h.added, &t.added_));
  EDGELLM_TRY(find_table(section, "added bytes", h.added_bytes, &t.added_bytes_));
  if (h.piece_offsets.count <= h.vocab || h.attributes.count < h.vocab || h.added_raw > h.added.count) {
    return bad_model("tokenizer: ", h.vocab, " ids with ", h.piece_offsets.count, " offsets and ", h.attributes.count,
                     " attributes; ", h.added_raw, " of ", h.added.count, " added tokens");
  }
  t.header_ = &h;
  t.vocab_ = static_cast<i32>(h.vocab);
  t.bos_ = h.bos;
  *this = t;
  return {};
}

Text Tokenizer::stored_piece(u32 index) const {
  if (!header_ || index + 1 >= header_->piece_offsets.count) return {};
  u32 first = piece_offsets_[index];
  u32 end = piece_offsets_[index + 1];
  if (first > end || end > header_->piece_bytes.count) return {};
  return {piece_bytes_ + first, end - first};
}

Text Tokenizer::piece(i32 id) const {
  return id >= 0 && id < vocab_ ? stored_piece(static_cast<u32>(id)) : Text();
}

bool Tokenizer::special(i32 id) const {
  return id >= 0 && id < vocab_ && (attributes_[id] & TOKEN_SPECIAL);
}

u32 Tokenizer::find_word(Text word) const {
  if (header_->words.count == 0 || word.size > header_->max_word) return NO_TOKEN;
  u32 hash = word_hash(word);
  u32 at = first_slot(hash, header_->words.count);
  for (u32 i = 0; i < header_->word_probes; i++) {
    WordSlot slot = words_[at];
    if (slot.piece == NO_TOKEN) break;
    if (slot.hash == hash && stored_piece(slot.piece) == word) return slot.piece;
    if (++at == header_->words.count) at = 0;
  }
  return NO_TOKEN;
}

// Byte `i` of an added token's text, -1 past its end.
i32 Tokenizer::added_byte(u32 index, i64 i) const {
  const AddedToken& token = added_[index];
  if (i >= token.bytes || token.offset > header_->added_bytes.count ||
      token.bytes > header_->added_bytes.count - token.offset) {
    return -1;
  }
  return static_cast<u8>(added_bytes_[token.offset + static_cast<u64>(i)]);
}

// Tokens that share their first i bytes are neighbours; each byte of the text narrows the range.
const AddedToken* Tokenizer::longest_added(Text text, AddedGroup group) const {
  u32 low = group == AddedGroup::raw ? 0 : header_->added_raw;
  u32 high = group == AddedGroup::raw ? header_->added_raw : header_->added.count;
  const AddedToken* longest = nullptr;
  for (i64 i = 0; i < text.size && low < high; i++) {
    i32 c = static_cast<u8>(text[i]);
    auto first_from = [&](u32 from, i32 least) {
      for (u32 end = high; from < end;) {
        u32 middle = from + (end - from) / 2;
        if (added_byte(middle, i) < least)
          from = middle + 1;
        else
          end = middle;
      }
      return from;
    };
    low = first_from(low, c);
    high = first_from(low, c + 1);
    if (low < high && added_[low].bytes == i + 1) longest = &added_[low];
  }
  return longest;
}

i32 Tokenizer::find_added(Text text) const {
  if (!header_ || text.size == 0) return -1;
  const AddedGroup groups[] = {AddedGroup::raw, AddedGroup::normalized};
  for (AddedGroup group : groups) {
    const AddedToken* token = longest_added(text, group);
    if (token && token->bytes == text.size && token->id < header_->vocab) return static_cast<i32>(token->id);
  }
  return -1;
}

}  // namespace edgellm
