// Ids back to text, in whole characters.
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace edgellm {

static constexpr Text REPLACEMENT = "\xef\xbf\xbd";  // U+FFFD

Decoder::Decoder(const Tokenizer& tokenizer, DecodeOptions options)
    : tokenizer_(&tokenizer), options_(options), start_(!options.continues) {}

void Decoder::push(i32 id) {
  rest_ = {};
  if (!tokenizer_->header_) return;
  const TokenizerHeader& h = *tokenizer_->header_;
  if (tokenizer_->special(id) && !options_.specials) {
    if (h.kind == static_cast<u32>(TokenizerKind::characters)) {  // SentencePiece joins no bytes across it
      bad_ += held_bytes_;
      held_bytes_ = 0;
    }
    return;
  }
  rest_ = tokenizer_->piece(id);
  if (!start_ || rest_.size == 0) return;
  start_ = false;
  // A space that was spelled as a byte, or stands around the mark of the unknown, is the text's own.
  if (rest_[0] != ' ' || id == h.byte_ids[u8{' '}] || id == h.unknown) return;
  if (h.flags & TOKENIZER_STRIP_FIRST_SPACES) {
    while (rest_.size && rest_[0] == ' ')
      rest_ = rest_.from(1);
    start_ = rest_.size == 0 && (h.flags & TOKENIZER_TRIM_SPACES);
  } else if (h.flags & TOKENIZER_STRIP_FIRST_SPACE) {
    rest_ = rest_.from(1);
  }
}

void Decoder::finish() {
  rest_ = {};
  finishing_ = true;
}

// A part of `bytes` bytes can never become a character. Returns the first U+FFFD for it.
Text Decoder::reject(i32 bytes) {
  bool one_each = tokenizer_->header_->kind == static_cast<u32>(TokenizerKind::characters);
  bad_ = one_each ? bytes - 1 : 0;
  held_bytes_ = 0;
  return REPLACEMENT;
}

Text Decoder::take() {
  if (bad_ > 0) {
    bad_--;
    return REPLACEMENT;
  }
  if (held_bytes_ > 0) {
    i32 length = 0;
    while (length == 0 && rest_.size > 0) {
      held_[held_bytes_++] = rest_[0];
      rest_ = rest_.from(1);
      length = utf8_length(held_, held_bytes_);
    }
    if (length > 0) {
      held_bytes_ = 0;
      return {held_, length};
    }
    if (length < 0) {  // the byte added last begins something else
      rest_ = {rest_.data - 1, rest_.size + 1};
      return reject(held_bytes_ - 1);
    }
    return finishing_ ? reject(held_bytes_) : Text();
  }
  i64 whole = 0;
  i32 length = 1;
  while (whole < rest_.size && (length = utf8_length(rest_.data + whole, rest_.size - whole)) > 0)
    whole += length;
  Text out = rest_.slice(0, whole);
  rest_ = rest_.from(whole);
  if (out.size > 0 || rest_.size == 0) {
    finishing_ = finishing_ && out.size > 0;
    return out;
  }
  if (length < 0) {
    rest_ = rest_.from(-length);
    return reject(-length);
  }
  for (; rest_.size > 0; rest_ = rest_.from(1))
    held_[held_bytes_++] = rest_[0];
  return {};
}

}  // namespace edgellm
