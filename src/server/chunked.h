// Takes the transfer coding `chunked` off a body, in place (RFC 9112, 7.1): each chunk is its size in hexadecimal digits, perhaps
// extensions behind ';', CR LF, that many bytes, CR LF; a chunk of size 0, trailer fields and an empty line end the body.
// Extensions and trailers are dropped, within a limit. The result does not depend on the pieces in which the bytes came.
#pragma once
#include "server/http.h"

namespace edgellm {

struct ChunkedOutcome {
  i64 taken = 0;         // bytes of the input that were read
  i64 decoded = 0;       // bytes of the body, now at the start of the input
  bool whole = false;    // the body is complete, and what follows `taken` is the next request
  i32 status = 0;        // 0, or what a refusal is answered with; the connection ends behind the answer
  const char* why = "";  // a refusal in words
};

class ChunkedDecoder {
 public:
  // More bytes of the same body. All are taken, unless the body ends before or is refused.
  ChunkedOutcome decode(Span<char> bytes, const HttpLimits& limits);

 private:
  enum class State : u8 {
    size,           // of a chunk: its digits
    extension,      // behind ';'
    size_end,       // LF behind a size
    data,           //
    data_return,    // CR behind a chunk
    data_end,       // LF
    trailer_start,  // a trailer field, or the empty line
    trailer_name,
    trailer_value,
    trailer_end,  // LF
    last_end,     // LF of the empty line
    whole,
  };

  void step(u8 c, const HttpLimits& limits, ChunkedOutcome* outcome);
  void size(u8 c, const HttpLimits& limits, ChunkedOutcome* outcome);

  State state_ = State::size;
  i32 digits_ = 0;  // of the size that is being read
  i64 left_ = 0;    // bytes of the chunk that are still to come, once its size was read
  i64 body_ = 0;    // bytes of the body so far
  i64 extra_ = 0;   // bytes of extensions and trailers so far
};

}  // namespace edgellm
