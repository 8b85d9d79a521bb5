#include "server/response.h"

#include <assert.h>

namespace edgellm {

struct Reason {
  i32 status;
  const char* words;
};

constexpr Reason REASONS[] = {
    {200, "OK"},
    {204, "No Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

Text http_reason(i32 status) {
  for (const Reason& reason : REASONS) {
    if (reason.status == status) return reason.words;
  }
  return {};
}

static void write_two_digits(Writer& to, i64 value) {
  to.add(static_cast<char>('0' + value / 10)).add(static_cast<char>('0' + value % 10));
}

struct Date {
  i64 year, month, day;  // the month from 0, March
};

// Years that begin in March have the leap day at their end, and 400 of them have 146097 days.
static Date date_of(i64 day) {
  i64 of_era = (day + 719468) % 146097, era = (day + 719468) / 146097;
  i64 year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  i64 of_year = of_era - (365 * year + year / 4 - year / 100);
  i64 month = (5 * of_year + 2) / 153;
  return {era * 400 + year + (month >= 10), month, of_year - (153 * month + 2) / 5 + 1};
}

static void write_time(Writer& to, i64 second) {
  write_two_digits(to, second / 3600);
  to.add(':');
  write_two_digits(to, second / 60 % 60);
  to.add(':');
  write_two_digits(to, second % 60);
}

void write_http_date(Writer& to, i64 unix_seconds) {
  constexpr Text days = "ThuFriSatSunMonTueWed", months = "MarAprMayJunJulAugSepOctNovDecJanFeb";
  i64 day = unix_seconds / 86400;
  Date date = date_of(day);
  to.add(days.slice(day % 7 * 3, 3)).add(", ");
  write_two_digits(to, date.day);
  to.add(' ').add(months.slice(date.month * 3, 3)).add(' ').add(date.year).add(' ');
  write_time(to, unix_seconds % 86400);
  to.add(" GMT");
}

void write_iso_date(Writer& to, i64 unix_seconds) {
  Date date = date_of(unix_seconds / 86400);
  to.add(date.year).add('-');
  write_two_digits(to, (date.month + 2) % 12 + 1);
  to.add('-');
  write_two_digits(to, date.day);
  to.add('T');
  write_time(to, unix_seconds % 86400);
  to.add('Z');
}

static void write_field(Writer& to, Text name, Text value) {
  for (i64 i = 0; i < value.size; i++)
    assert(is_value_byte(static_cast<u8>(value[i])));
  write(to, name, ": ", value, "\r\n");
}

void write_response_head(Writer& to, const HttpResponse& response) {
  assert(http_reason(response.status).size > 0);
  write(to, "HTTP/1.1 ", response.status, ' ', http_reason(response.status), "\r\nDate: ");
  write_http_date(to, response.date);
  to.add("\r\n");
  if (response.type.size) write_field(to, "Content-Type", response.type);
  for (const HttpField& field : response.fields)
    write_field(to, field.name, field.value);
  if (response.end == BodyEnd::chunks) to.add("Transfer-Encoding: chunked\r\n");
  if (response.end == BodyEnd::length && response.status != 204) write(to, "Content-Length: ", response.bytes, "\r\n");
  bool keep = response.keep && response.end != BodyEnd::close;
  write(to, "Connection: ", keep ? "keep-alive" : "close", "\r\n\r\n");
}

static void begin_chunk(Writer& to, i64 bytes, BodyEnd end) {
  if (end == BodyEnd::chunks) write(to, Hex{static_cast<u64>(bytes), 0}, "\r\n");
}

static void end_chunk(Writer& to, BodyEnd end) {
  if (end == BodyEnd::chunks) to.add("\r\n");
}

void write_chunk(Writer& to, Text data) {
  if (data.size == 0) return;
  begin_chunk(to, data.size, BodyEnd::chunks);
  to.add(data);
  end_chunk(to, BodyEnd::chunks);
}

void write_last_chunk(Writer& to) {
  to.add("0\r\n\r\n");
}

void write_event(Writer& to, Text data, BodyEnd end) {
  constexpr Text begin = "data: ";
  i64 lines = 1;
  for (i64 i = 0; i < data.size; i++)
    lines += data[i] == '\n';
  begin_chunk(to, data.size + lines * begin.size + 2, end);
  for (; lines > 0; lines--) {
    i64 size = 0;
    while (size < data.size && data[size] != '\n')
      size++;
    to.add(begin).add(data.slice(0, size)).add('\n');
    data = data.from(min(size + 1, data.size));
  }
  to.add('\n');
  end_chunk(to, end);
}

void write_event_comment(Writer& to, BodyEnd end) {
  constexpr Text comment = ":\n\n";
  begin_chunk(to, comment.size, end);
  to.add(comment);
  end_chunk(to, end);
}

}  // namespace edgellm
