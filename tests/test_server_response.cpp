// What a server writes: heads, dates, chunks and events.
#include "server/response.h"

#include <ctime>
#include <string>

#include "check.h"
#include "server/chunked.h"

using namespace edgellm;

template <class Body>
static std::string written(Body body) {
  char buffer[2048];
  Writer writer(buffer);
  body(writer);
  CHECK(!writer.cut());
  return {writer.text().data, static_cast<size_t>(writer.text().size)};
}

TEST(heads) {
  const std::string date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  CHECK_EQ(
      written([](Writer& to) { write_response_head(to, {.type = "application/json", .bytes = 12, .date = 784111777}); }),
      "HTTP/1.1 200 OK\r\n" + date +
          "Content-Type: application/json\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\n");
  const HttpField fields[] = {{"Retry-After", "2"}, {"X", ""}};
  CHECK_EQ(written([&](Writer& to) {
             write_response_head(to, {.status = 429, .keep = false, .date = 784111777, .fields = {fields, 2}});
           }),
           "HTTP/1.1 429 Too Many Requests\r\n" + date +
               "Retry-After: 2\r\nX: \r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  CHECK_EQ(written([](Writer& to) {
             write_response_head(to, {.type = "text/event-stream", .end = BodyEnd::chunks, .date = 784111777});
           }),
           "HTTP/1.1 200 OK\r\n" + date +
               "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n");
  CHECK_EQ(written([](Writer& to) { write_response_head(to, {.end = BodyEnd::close, .date = 784111777}); }),
           "HTTP/1.1 200 OK\r\n" + date + "Connection: close\r\n\r\n");
  CHECK_EQ(written([](Writer& to) { write_response_head(to, {.status = 204, .date = 784111777}); }),
           "HTTP/1.1 204 No Content\r\n" + date + "Connection: keep-alive\r\n\r\n");
}

// Each status that something here answers has its words.
TEST(statuses) {
  for (i32 status : {200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 417, 429, 431, 500, 501, 503, 505})
    CHECK(http_reason(status).size > 1);
  CHECK_EQ(http_reason(299).size, 0);
}

// Against libc, at the ends of months and years, and every 1,000,003 seconds.
TEST(dates) {
  const i64 last = 253402300799;  // of 9999
  auto compare = [](i64 seconds) {
    const std::time_t time = static_cast<std::time_t>(seconds);
    std::tm parts;
    char expected[64];
    gmtime_r(&time, &parts);
    std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    const std::string got = written([&](Writer& to) { write_http_date(to, seconds); });
    if (got != expected) CHECK_EQ(got, std::string(expected));
    std::strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%SZ", &parts);
    const std::string iso = written([&](Writer& to) { write_iso_date(to, seconds); });
    if (iso != expected) CHECK_EQ(iso, std::string(expected));
  };
  for (i64 day = 0; day < 140 * 366; day++) {
    compare(day * 86400);
    if (sizeof(std::time_t) > 4 || day < 68 * 365) compare(day * 86400 + 86399);
    if (sizeof(std::time_t) == 4 && day > 68 * 365) break;
  }
  for (i64 seconds = 0; sizeof(std::time_t) > 4 && seconds <= last; seconds += 10000019)
    compare(seconds);
  CHECK_EQ(written([&](Writer& to) { write_http_date(to, last); }), "Fri, 31 Dec 9999 23:59:59 GMT");
  CHECK_EQ(written([&](Writer& to) { write_iso_date(to, last); }), "9999-12-31T23:59:59Z");
  CHECK_EQ(written([&](Writer& to) { write_http_date(to, 0); }), "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK_EQ(written([&](Writer& to) { write_http_date(to, 951782400); }), "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST(chunks_and_events) {
  CHECK_EQ(written([](Writer& to) { write_chunk(to, ""); }), "");
  CHECK_EQ(written([](Writer& to) { write_chunk(to, "0123456789abcdef!"); }), "11\r\n0123456789abcdef!\r\n");
  CHECK_EQ(written([](Writer& to) { write_last_chunk(to); }), "0\r\n\r\n");
  CHECK_EQ(written([](Writer& to) { write_event(to, "{}", BodyEnd::close); }), "data: {}\n\n");
  CHECK_EQ(written([](Writer& to) { write_event(to, "{}", BodyEnd::chunks); }), "a\r\ndata: {}\n\n\r\n");
  CHECK_EQ(written([](Writer& to) { write_event(to, "", BodyEnd::close); }), "data: \n\n");
  CHECK_EQ(written([](Writer& to) { write_event(to, "a\n\nb\n", BodyEnd::close); }), "data: a\ndata: \ndata: b\ndata: \n\n");
  CHECK_EQ(written([](Writer& to) { write_event_comment(to, BodyEnd::chunks); }), "3\r\n:\n\n\r\n");
  CHECK_EQ(written([](Writer& to) { write_event_comment(to, BodyEnd::close); }), ":\n\n");
}

// What is written in chunks is read back by our decoder.
TEST(chunks_come_back) {
  std::string sent, plain;
  for (size_t size = 0; size < 40; size++) {
    const std::string data = std::string(size, 'd') + "\nx";
    sent += written([&](Writer& to) { write_chunk(to, {data.data(), static_cast<i64>(data.size())}); });
    sent += written([&](Writer& to) { write_event(to, {data.data(), static_cast<i64>(data.size())}, BodyEnd::chunks); });
    plain += data + "data: " + std::string(size, 'd') + "\ndata: x\n\n";
  }
  sent += written([](Writer& to) { write_last_chunk(to); });
  ChunkedDecoder decoder;
  const ChunkedOutcome outcome = decoder.decode({sent.data(), static_cast<i64>(sent.size())}, {});
  CHECK(outcome.whole);
  CHECK_EQ(outcome.taken, static_cast<i64>(sent.size()));
  CHECK_EQ(sent.substr(0, static_cast<size_t>(outcome.decoded)), plain);
}
