#include "server/chunked.h"

#include <string.h>

namespace edgellm {

constexpr i32 MAX_DIGITS = 16;

static i32 hex_value(u8 c) {
  if (c >= '0' && c <= '9') return c - '0';
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void refuse(ChunkedOutcome* outcome, i32 status, const char* why) {
  outcome->status = status;
  outcome->why = why;
}

void ChunkedDecoder::size(u8 c, const HttpLimits& limits, ChunkedOutcome* outcome) {
  i32 digit = hex_value(c);
  if (digit >= 0) {
    left_ = left_ * 16 + digit;
    if (++digits_ > MAX_DIGITS) return refuse(outcome, 400, "the size of a chunk has more than 16 digits");
    if (left_ > limits.body - body_) return refuse(outcome, 413, "the body is longer than this server takes");
  } else if (digits_ > 0 && c == '\r') {
    state_ = State::size_end;
  } else if (digits_ > 0 && c == ';') {
    state_ = State::extension;
  } else {
    refuse(outcome, 400, "a chunk begins with its size in hexadecimal digits, and CR LF or ; behind it");
  }
}

// One byte that is none of the body's. Each state names what it waits for; `next` is taken when the byte is that.
void ChunkedDecoder::step(u8 c, const HttpLimits& limits, ChunkedOutcome* outcome) {
  constexpr const char* no_line_end = "a line between chunks does not end with CR LF or has a control character in it";
  constexpr const char* no_trailer = "a trailer field is a name, a colon directly behind it, and a value";
  auto expect = [&](u8 wanted, State next, const char* why) {
    if (c != wanted) return refuse(outcome, 400, why);
    state_ = next;
  };
  auto rest_of_line = [&](State next) {
    if (!is_value_byte(c)) expect('\r', next, no_line_end);
  };
  bool extra = state_ == State::extension || state_ == State::trailer_start || state_ == State::trailer_name ||
               state_ == State::trailer_value;
  if (extra && ++extra_ > limits.chunk_extra) {
    return refuse(outcome, 431, "chunk extensions and trailers are longer than this server takes");
  }
  switch (state_) {
    case State::size:
      return size(c, limits, outcome);
    case State::extension:
      return rest_of_line(State::size_end);
    case State::size_end:
      expect('\n', left_ > 0 ? State::data : State::trailer_start, no_line_end);
      digits_ = 0;
      return;
    case State::data_return:
      return expect('\r', State::data_end, "CR LF is expected behind a chunk of the size that was said");
    case State::data_end:
      return expect('\n', State::size, "CR LF is expected behind a chunk of the size that was said");
    case State::trailer_start:
      if (c == '\r') {
        state_ = State::last_end;
        return;
      }
      state_ = State::trailer_name;
      return is_token_byte(c) ? void() : refuse(outcome, 400, no_trailer);
    case State::trailer_name:
      return is_token_byte(c) ? void() : expect(':', State::trailer_value, no_trailer);
    case State::trailer_value:
      return rest_of_line(State::trailer_end);
    case State::trailer_end:
      return expect('\n', State::trailer_start, no_line_end);
    case State::last_end:
      return expect('\n', State::whole, no_line_end);
    case State::data:
    case State::whole:
      return;
  }
}

ChunkedOutcome ChunkedDecoder::decode(Span<char> bytes, const HttpLimits& limits) {
  ChunkedOutcome outcome;
  while (outcome.taken < bytes.count && state_ != State::whole && outcome.status == 0) {
    if (state_ != State::data) {
      step(static_cast<u8>(bytes[outcome.taken]), limits, &outcome);
      outcome.taken++;
      continue;
    }
    i64 n = min(left_, bytes.count - outcome.taken);
    memmove(bytes.data + outcome.decoded, bytes.data + outcome.taken, static_cast<size_t>(n));
    outcome.taken += n;
    outcome.decoded += n;
    body_ += n;
    left_ -= n;
    if (left_ == 0) state_ = State::data_return;
  }
  outcome.whole = state_ == State::whole;
  return outcome;
}

}  // namespace edgellm
