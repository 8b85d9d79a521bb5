// text -> added tokens -> normalised -> added tokens of normalised text -> words -> symbols -> merged -> ids
#include <string.h>

#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/words.h"

namespace edgellm {

static constexpr Text REPLACEMENT = "\xef\xbf\xbd";  // U+FFFD
static constexpr Text SPACE_MARK = "\xe2\x96\x81";   // U+2581

// Bytes that a text of n bytes can have after normalisation: a prefix space more, or what normalisation form C makes of it.
// A word of it has at most as many symbols.
static i64 normalized_bytes(const TokenizerHeader& h, i64 n) {
  return (h.flags & TOKENIZER_NFC ? nfc_bytes(n) : n) + 1;
}

// Space for the text: a byte more in front, for the prefix of a stretch that starts in the middle of it.
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
  u32 byte_symbols(Text word);
  u32 character_symbols(Text word);
  void emit_unknown(Text text, i64 characters);
  void emit(i64 id);
  Text character(Text text, i32* bytes) const;
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
  i64 count_ = 0;      // ids so far, also those that had no room
  i64 wrong_id_ = -1;  // an id that the tables name but the vocabulary has not
  bool after_unknown_ = false;
  bool has_plain_ = false;  // the stretch at hand holds some of options_.plain
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
  for (i64 pos = 0; pos < text.size;) {
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
  const auto group = Tokenizer::AddedGroup::normalized;
  if (has(TOKENIZER_ADDED_FIRST)) {
    return cut_added(text, group, [&](Text stretch, i64 offset) {
      const bool first = at_start && offset == 0;
      encode_stretch(text_, normalize(stretch, first), first);
    });
  }
  has_plain_ = outside_plain(text).size < text.size;
  i64 size = normalize(text, at_start);
  cut_added({text_, size}, group,
            [&](Text stretch, i64 offset) { encode_stretch(text_ + offset, stretch.size, at_start && offset == 0); });
}

// Writes the normalised text to text_ and returns its size.
i64 Encoder::normalize(Text text, bool at_start) {
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
  after_unknown_ = false;
  WordCutter words(h_.splits, {text, size});
  for (Text word; words.next(&word);)
    encode_word(word);
}

void Encoder::encode_word(Text word) {
  if (has(TOKENIZER_WHOLE_WORDS)) {
    if (u32 id = t_.find_word(word); id != NO_TOKEN) return emit(id);
  }
  if (h_.kind == static_cast<u32>(TokenizerKind::trie)) return encode_greedily(word);
  bool bytes = h_.kind == static_cast<u32>(TokenizerKind::bytes);
  u32 n = bytes ? byte_symbols(word) : character_symbols(word);
  if (n == 0) return;
  merge(pairs_, space_, n);
  for (u32 i = 0; i < n; i = space_.symbols[i].next) {
    Symbol symbol = space_.symbols[i];
    i64 characters = symbol.next - i;
    if (bytes || symbol.id < h_.vocab) {
      emit(symbol.id);
      after_unknown_ = false;
    } else {
      emit_unknown(word, characters);
    }
    for (i64 k = 0; k < characters && !bytes; k++) {
      i32 length;
      character(word, &length);
      word = word.from(length);
    }
  }
}

// The longest piece each time. A byte that starts none becomes the unknown id, or nothing at all.
void Encoder::encode_greedily(Text word) {
  while (word.size > 0) {
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

// A byte without an id becomes the unknown id, or nothing at all.
u32 Encoder::byte_symbols(Text word) {
  u32 n = 0;
  bool after_unknown = false;
  for (i64 i = 0; i < word.size; i++) {
    i32 id = h_.byte_ids[static_cast<u8>(word[i])];
    bool unknown = id < 0;
    if (unknown && (h_.unknown < 0 || (after_unknown && has(TOKENIZER_FUSE_UNKNOWN)))) continue;
    space_.symbols[n++].id = static_cast<u32>(unknown ? h_.unknown : id);
    after_unknown = unknown;
  }
  return n;
}

// A character without a piece is NO_TOKEN: it merges with nothing and is resolved when it is given out.
u32 Encoder::character_symbols(Text word) {
  u32 n = 0;
  for (i32 bytes; word.size > 0; word = word.from(bytes))
    space_.symbols[n++].id = t_.find_word(character(word, &bytes));
  return n;
}

// The first character of `text`, which may be read as another than its bytes say, and how many bytes it takes there.
Text Encoder::character(Text text, i32* bytes) const {
  i32 length = utf8_length(text.data, text.size);
  *bytes = max(length, 1);
  return length <= 0 && has(TOKENIZER_REPLACE_INVALID) ? REPLACEMENT : text.slice(0, *bytes);
}

void Encoder::emit_unknown(Text text, i64 characters) {
  for (; characters > 0; characters--) {
    i32 length;
    Text c = character(text, &length);
    text = text.from(length);
    bool known = has(TOKENIZER_BYTE_FALLBACK);
    for (i64 i = 0; i < c.size && known; i++)
      known = h_.byte_ids[static_cast<u8>(c[i])] >= 0;
    if (known) {
      for (i64 i = 0; i < c.size; i++)
        emit(h_.byte_ids[static_cast<u8>(c[i])]);
    } else if (h_.unknown >= 0 && !(after_unknown_ && has(TOKENIZER_FUSE_UNKNOWN))) {
      emit(h_.unknown);
    }
    after_unknown_ = !known;
  }
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
