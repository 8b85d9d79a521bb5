// Bytes to a request of HTTP/1.0 or 1.1 (RFC 9110, 9112). Nothing is kept between two calls and nothing is copied: the caller's
// buffer is read from its start each time more of it is there, and what is found are slices of it.
//
// Strict wherever two readers could disagree about where a request ends. CR LF ends a line and nothing else does; no folded
// lines; no space before the colon; no control characters; one Host; one Content-Length, of digits; Transfer-Encoding is
// `chunked` or refused, never in HTTP/1.0, never beside Content-Length. The same bytes are refused in the same way, however many
// of them are there: a refusal never turns into something else when more comes.
#pragma once
#include "base/types.h"

namespace edgellm {

struct HttpLimits {
  i64 head = 16384;        // bytes of a request up to the end of its empty line; 431
  i64 target = 2048;       // bytes of what follows the method; 414
  i64 body = 1048576;      // bytes of a body, as it is when a transfer coding is taken off; 413
  i64 chunk_extra = 4096;  // bytes of chunk extensions and trailers in one body; 431
};

struct HttpField {
  Text name;   // as it was sent: compare it with http_field
  Text value;  // without the white space around it
};

struct HttpRequest {
  Text method;                    // case matters
  Text path;                      // what is asked for, as it was sent: "/v1/models", or "*"
  Text query;                     // behind the first '?'
  Text authority;                 // host and port: the target's where it has them, otherwise Host's
  Span<const HttpField> fields;   // in the order of the request
  i32 minor = 0;                  // of HTTP/1.minor: 0 or 1
  bool chunked = false;           // the body comes in chunks: see chunked.h
  bool keep = false;              // another request may follow on this connection
  bool expects_continue = false;  // the body waits for "100 Continue"
  i64 body_bytes = 0;             // Content-Length, or 0
};

struct HttpOutcome {
  i64 bytes = 0;         // of the whole head; 0: there is more to come, unless it is refused
  i32 status = 0;        // 0, or what a refusal is answered with; the connection ends behind the answer
  const char* why = "";  // a refusal in words
};

// `fields` is the room for header fields; a request with more is refused (431). The outcome's text and the request hold as long as
// `bytes` and `fields` do.
HttpOutcome parse_request(Text bytes, const HttpLimits& limits, Span<HttpField> fields, HttpRequest* request);

// Equal but for the case of ASCII letters; `lower` has none in upper case.
bool equal_ignoring_case(Text text, Text lower);

// The first field of that name (in lower case), or null.
const HttpField* http_field(const HttpRequest& request, Text lower);

// What a byte may be part of.
bool is_token_byte(u8 c);  // of a method or a field's name
bool is_value_byte(u8 c);  // of a field's value: no control character but the tab

}  // namespace edgellm
