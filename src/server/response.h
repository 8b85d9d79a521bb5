// What a server writes in HTTP/1.1: the head of an answer, chunks, and server-sent events. All of it goes to a Writer, which says
// afterwards whether everything had room (Writer::cut). What is written there is ours: no line break gets into a head.
#pragma once
#include "base/format.h"
#include "server/http.h"

namespace edgellm {

constexpr Text HTTP_CONTINUE = "HTTP/1.1 100 Continue\r\n\r\n";

enum class BodyEnd : u8 {
  length,  // Content-Length says it
  chunks,  // a last chunk: for HTTP/1.1
  close,   // the end of the connection: for HTTP/1.0, where the length is not known before
};

struct HttpResponse {
  i32 status = 200;
  Text type = {};  // Content-Type; empty: none
  BodyEnd end = BodyEnd::length;
  i64 bytes = 0;                      // of the body, for BodyEnd::length
  bool keep = true;                   // the connection takes another request
  i64 date = 0;                       // seconds since 1970-01-01 UTC
  Span<const HttpField> fields = {};  // further ones
};

// The words behind a status; empty for one that nothing here answers.
Text http_reason(i32 status);

// Sun, 06 Nov 1994 08:49:37 GMT (RFC 9110, 5.6.7), for years from 1970 to 9999.
void write_http_date(Writer& to, i64 unix_seconds);

// 1994-11-06T08:49:37Z (ISO 8601), for the same years.
void write_iso_date(Writer& to, i64 unix_seconds);

void write_response_head(Writer& to, const HttpResponse& response);

// One chunk. Nothing for an empty text, which would end the body.
void write_chunk(Writer& to, Text data);
void write_last_chunk(Writer& to);

// A server-sent event: a line `data: ` for each line of the text, and an empty line. As one chunk where `end` is chunks.
void write_event(Writer& to, Text data, BodyEnd end);

// A comment, which clients ignore: it keeps the connection alive where nothing is to be said yet.
void write_event_comment(Writer& to, BodyEnd end);

}  // namespace edgellm
