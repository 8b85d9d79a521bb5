// text -> added tokens -> normalised -> added tokens of normalised text -> words -> symbols -> merged -> ids

#include "platform/signals.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/words.h"

namespace edgellm {

static constexpr Text REPLACEMENT = "\xef\xbf\xbd";  // U+FFFD
static constexpr Text SPACE_MARK = "\xe2\x96\x81";   // U+2581
static constexpr i64 MAX_CHARACTER = 4;              // bytes

// Bytes that a text of n bytes can have after normalisation: one more for the prefix space, or as many as normalisation form C
// can make. A word of the text has at most as many symbols.
static i64 normalized_bytes(const TokenizerHeader& h, i64 n) {
  return (h.flags & TOKENIZER_NFC ? nfc_bytes(n) : n) + 1;
}

// Space for the text and one byte in front of it, for the prefix of a stretch that starts in the middle.
static i64 text_bytes_of(const TokenizerHeader& h, i64 n) {
  return align_up<i64>(normalized_bytes(h, n) + 1, 64);
}

i64 Tokenizer::workspace_bytes(i64 text_bytes) const {
  return text_bytes_of(*header_, text_bytes) + align_up<i64>(normalized_bytes(*header_, text_bytes) * MERGE_BYTES, 64);
}

i64 Tokenizer::max_ids(i64 text_bytes) const {
  i64 bytes = header_->flags & TOKENIZER_REPLACE_INVALID ? 3 * text_bytes : normalized_bytes(*header_, text_bytes);
  return bytes + text_bytes + 2;  // every stretch between added tokens may get a prefix of its own; the start id
}

// One call of encode.
class Encoder {
 public:
  Encoder(const Tokenizer& tokenizer, EncodeOptions options, i64 text_bytes, Span<u8> workspace, Span<i32> ids);
  Status run(Text text, i32* count);

 private:
  // Calls `stretch(text, offset)` for what lies between the added tokens of `group`, and gives out the tokens.
  template <class Stretch>
  void cut_added(Text text, Tokenizer::AddedGroup group, Stretch stretch);
  const AddedToken* token_at(Text rest, Tokenizer::AddedGroup group) const;
  Text outside_plain(Text rest) const;
  void encode_raw(Text text, bool at_start);
  void encode_stretch(char* text, i64 size, bool at_start);
  i64 normalize(Text text, bool at_start);
  void encode_word(Text word);
  void encode_greedily(Text word);
  Text character(Text text, i32* bytes) const;
  Text spelling(Text c) const;
  void emit_merged(u32 n);
  void emit_missing(Text c);
  void emit_known(i64 id);
  void end_unknown();
  void emit(i64 id);
  bool is(TokenizerKind kind) const { return h_.kind == static_cast<u32>(kind); }
  bool has(TokenizerFlag flag) const { return h_.flags & flag; }
  bool prefixed(bool at_start) const {
    return has(TOKENIZER_PREFIX) && (at_start ? !options_.continues : !has(TOKENIZER_PREFIX_FIRST));
  }

  const Tokenizer& t_;
  const TokenizerHeader& h_;
  EncodeOptions options_;
  char* text_;  // normalised stretch; the byte before it may be written
  MergeSpace space_;
  PairTable pairs_;
  Span<i32> ids_;
  i64 count_ = 0;               // ids so far, also those that had no room
  i64 wrong_id_ = -1;           // an id that the tables name but the vocabulary has not
  bool unknown_waits_ = false;  // an unknown id is still to be given out
  bool has_plain_ = false;      // the stretch at hand holds some of options_.plain
};

Encoder::Encoder(const Tokenizer& tokenizer, EncodeOptions options, i64 text_bytes, Span<u8> workspace, Span<i32> ids)
    : t_(tokenizer), h_(*tokenizer.header_), options_(options), ids_(ids) {
  text_ = reinterpret_cast<char*>(workspace.data) + 1;
  u8* at = workspace.data + text_bytes_of(h_, text_bytes);
  space_.symbols = reinterpret_cast<Symbol*>(at);
  space_.heap = reinterpret_cast<u64*>(space_.symbols + normalized_bytes(h_, text_bytes));
  pairs_ = {t_.pairs_, h_.pairs.count, h_.pair_probes};
}

Status Encoder::run(Text text, i32* count) {
  if (options_.add_bos && h_.bos >= 0) emit(h_.bos);
  cut_added(text, Tokenizer::AddedGroup::raw, [&](Text stretch, i64 offset) { encode_raw(stretch, offset == 0); });
  EDGELLM_TRY(check_interrupted());
  if (wrong_id_ >= 0) return bad_model("tokenizer: its tables name id ", wrong_id_, ", the vocabulary has ", h_.vocab);
  if (count_ > ids_.count) return failed("the text has ", count_, " tokens, there is room for ", ids_.count);
  *count = static_cast<i32>(count_);
  return {};
}

template <class Stretch>
void Encoder::cut_added(Text text, Tokenizer::AddedGroup group, Stretch stretch) {
  const u32* first = h_.added_first[static_cast<i32>(group)];
  // After normalisation a space stands for U+2581, which is no white space.
  const bool marked = group == Tokenizer::AddedGroup::normalized && has(TOKENIZER_SPACE_MARK) && !has(TOKENIZER_ADDED_FIRST);
  i64 done = 0;
  for (i64 pos = 0; pos < text.size && !interrupted();) {
    u8 c = static_cast<u8>(text[pos]);
    const AddedToken* token = first[c / 32] >> c % 32 & 1 ? token_at(text.from(pos), group) : nullptr;
    if (!token) {
      pos++;
      continue;
    }
    i64 start = pos;
    i64 end = pos += token->bytes;
    if ((token->flags & ADDED_SPECIAL) && !options_.parse_special) continue;
    if ((token->flags & ADDED_STRIP_LEFT) && done < start) {
      const i64 least = space_before(text, done, start);
      while (start > least && !(marked && text[start - 1] == ' '))
        start--;
    }
    if (token->flags & ADDED_STRIP_RIGHT) {
      for (Char next; is_space(next = char_at(text, end)) && !(marked && text[end] == ' ');)
        end += next.bytes;
    }
    if ((token->flags & ADDED_STRIP_LEFT) && end <= done) continue;  // the one before took it along
    if (done < start) stretch(text.slice(done, start - done), done);
    emit(token->id);
    done = end;  // the search goes on at pos, so that a token of white space is met though it was taken along
  }
  if (done < text.size) stretch(text.from(done), done);
}

// The longest added token that `rest` starts with; of special ones only those that no plain part has a byte of.
const AddedToken* Encoder::token_at(Text rest, Tokenizer::AddedGroup group) const {
  const AddedToken* token = t_.longest_added(rest, group);
  if (!token || !(token->flags & ADDED_SPECIAL) || options_.plain.count == 0) return token;
  if (group == Tokenizer::AddedGroup::normalized && !has(TOKENIZER_ADDED_FIRST)) return has_plain_ ? nullptr : token;
  Text ours = outside_plain(rest);
  return token->bytes <= ours.size ? token : t_.longest_added(ours, group);
}

// The start of `rest` that is before the next plain part.
Text Encoder::outside_plain(Text rest) const {
  for (Text part : options_.plain) {
    if (part.data + part.size > rest.data) return rest.slice(0, min(rest.size, max<i64>(part.data - rest.data, 0)));
  }
  return rest;
}

void Encoder::encode_raw(Text text, bool at_start) {
  const bool late = has(TOKENIZER_ADDED_FIRST);  // each stretch between the added tokens is normalised by itself
  if (!late) {
    has_plain_ = outside_plain(text).size < text.size;
    text = {text_, normalize(text, at_start)};
  }
  cut_added(text, Tokenizer::AddedGroup::normalized, [&](Text stretch, i64 offset) {
    const bool first = at_start && offset == 0;
    i64 size = late ? normalize(stretch, first) : stretch.size;
    encode_stretch(late ? text_ : text_ + offset, size, first);
  });
}

// Writes the normalised text to text_ and returns its size.
i64 Encoder::normalize(Text text, bool at_start) {
  static_assert(nfc_scratch_bytes(1) <= nfc_bytes(1) * MERGE_BYTES);
  if (has(TOKENIZER_NFC)) return normalize_nfc(text, text_, reinterpret_cast<u8*>(space_.symbols));
  char* to = text_;
  bool prefix = prefixed(at_start) && !has(TOKENIZER_PREFIX_MISSING);
  bool trim = has(TOKENIZER_TRIM_SPACES);
  if (trim) {
    while (text.size && text[0] == ' ')
      text = text.from(1);
    if (text.size == 0) return 0;
  }
  if (prefix) *to++ = ' ';
  bool after_space = false;
  for (i64 i = 0; i < text.size; i++) {
    char c = text[i];
    if (trim && c == ' ' && after_space) continue;
    after_space = c == ' ';
    if (c == SPACE_MARK[0] && has(TOKENIZER_SPACE_MARK) && text.size - i >= 3 && text.slice(i, 3) == SPACE_MARK) {
      c = ' ';
      i += 2;
    }
    *to++ = c;
  }
  while (trim && to > text_ && to[-1] == ' ')
    to--;
  return to - text_;
}

// `text` lies in text_; what is before it was encoded already and may be overwritten.
void Encoder::encode_stretch(char* text, i64 size, bool at_start) {
  if (size == 0) return;
  if (prefixed(at_start) && has(TOKENIZER_PREFIX_MISSING) && text[0] != ' ') {
    *--text = ' ';
    size++;
  }
  WordCutter words(h_.splits, {text, size});
  for (Text word; !interrupted() && words.next(&word);) {
    if (!words.continues()) end_unknown();
    encode_word(word);
  }
  end_unknown();
}

// Symbols merge with their neighbours, but not across a character that has none.
void Encoder::encode_word(Text word) {
  if (has(TOKENIZER_WHOLE_WORDS)) {
    if (u32 id = t_.find_word(word); id != NO_TOKEN) return emit_known(id);
  }
  if (is(TokenizerKind::trie)) return encode_greedily(word);
  u32 n = 0;
  for (i32 bytes; word.size > 0; word = word.from(bytes)) {
    Text c = character(word, &bytes);
    u32 id = is(TokenizerKind::bytes) ? static_cast<u32>(h_.byte_ids[static_cast<u8>(c[0])]) : t_.find_word(c);
    if (id != NO_TOKEN) {
      space_.symbols[n++].id = id;
    } else if (h_.unknown >= 0 || spelling(c).size > 0) {
      emit_merged(n);
      emit_missing(c);
      n = 0;
    }  // else it is left out, and its neighbours may merge
  }
  emit_merged(n);
}

// The longest piece each time. A byte that starts none becomes the unknown id, or nothing at all.
void Encoder::encode_greedily(Text word) {
  while (word.size > 0 && !interrupted()) {
    i64 id = h_.unknown, bytes = 1;
    u32 node = 0;
    for (i64 i = 0; i < word.size && i < h_.max_word; i++) {
      u32 at = find_pair(pairs_, node, static_cast<u8>(word[i]));
      if (at == NO_SLOT) break;
      node = pairs_.slots[at].merged;
      if (pairs_.slots[at].rank == NO_TOKEN) continue;
      id = pairs_.slots[at].rank;
      bytes = i + 1;
    }
    if (id >= 0) emit(id);
    word = word.from(bytes);
  }
}

// The first character of `text`, which may be read as another than its bytes say, and how many bytes it takes there.
Text Encoder::character(Text text, i32* bytes) const {
  if (is(TokenizerKind::bytes)) return text.slice(0, *bytes = 1);
  i32 length = utf8_length(text.data, text.size);
  *bytes = max(length, 1);
  return length <= 0 && has(TOKENIZER_REPLACE_INVALID) ? REPLACEMENT : text.slice(0, *bytes);
}

// The bytes whose pieces stand for a character that has none itself; empty when one of them lacks a piece.
Text Encoder::spelling(Text c) const {
  if (!has(TOKENIZER_BYTE_FALLBACK)) return {};
  for (i64 i = 0; i < c.size; i++) {
    if (h_.byte_ids[static_cast<u8>(c[i])] < 0) return {};
  }
  return c;
}

// Gives out what merging leaves of the first n symbols.
void Encoder::emit_merged(u32 n) {
  if (n == 0) return;
  merge(pairs_, space_, n);
  for (u32 i = 0; i < n; i = space_.symbols[i].next) {
    u32 id = space_.symbols[i].id;
    // Beyond the vocabulary there are characters that only merges know.
    Text c = id < h_.vocab || is(TokenizerKind::bytes) ? Text() : t_.stored_piece(id);
    if (c.size > 0 && c.size <= MAX_CHARACTER) {
      emit_missing(c);
    } else {
      emit_known(id);
    }
  }
}

// A character without an id: the pieces of its bytes, or the unknown id, which waits for its neighbours to be like it.
void Encoder::emit_missing(Text c) {
  if (Text bytes = spelling(c); bytes.size > 0) {
    for (i64 i = 0; i < bytes.size; i++)
      emit(h_.byte_ids[static_cast<u8>(bytes[i])]);
    return;
  }
  if (!has(TOKENIZER_FUSE_UNKNOWN)) end_unknown();
  unknown_waits_ = true;
}

void Encoder::emit_known(i64 id) {
  end_unknown();
  emit(id);
}

// Gives out the unknown id if characters wait for it.
void Encoder::end_unknown() {
  if (unknown_waits_ && h_.unknown >= 0) emit(h_.unknown);
  unknown_waits_ = false;
}

void Encoder::emit(i64 id) {
  if (id < 0 || id >= h_.vocab) {
    wrong_id_ = id;
    return;
  }
  if (count_ < ids_.count) ids_[count_] = static_cast<i32>(id);
  count_++;
}

Status Tokenizer::encode(Text text, EncodeOptions options, Span<u8> workspace, Span<i32> ids, i32* count) const {
  *count = 0;
  if (!header_) return failed("there is no tokenizer");
  if (text.size > MAX_TEXT) return failed("the text has ", text.size, " bytes, at most ", MAX_TEXT);
  i64 needed = workspace_bytes(text.size);
  if (workspace.count < needed || reinterpret_cast<uintptr_t>(workspace.data) % TOKENIZER_ALIGNMENT) {
    return failed("tokenizing ", text.size, " bytes needs an aligned workspace of ", needed, " bytes, it has ",
                  workspace.count);
  }
  return Encoder(*this, options, text.size, workspace, ids).run(text, count);
}

}  // namespace edgellm
