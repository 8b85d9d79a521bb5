// Bytes to a request: a table of heads and what comes of them, each tried at every length and at the edge of readable memory.
#include "server/http.h"

#include <string>
#include <vector>

#include "check.h"
#include "guarded.h"

using namespace edgellm;

static constexpr HttpLimits LIMITS{200, 40, 1000, 64};
static constexpr i64 FIELDS = 6;

static std::string text_of(Text text) {
  return {text.data, static_cast<size_t>(text.size)};
}

static std::string summary(const HttpOutcome& outcome, const HttpRequest& request) {
  if (outcome.status) return std::to_string(outcome.status) + " " + outcome.why;
  if (outcome.bytes == 0) return "partial";
  std::string out = text_of(request.method) + " " + text_of(request.path);
  if (request.query.size) out += " ?" + text_of(request.query);
  out += " 1." + std::to_string(request.minor);
  if (request.authority.size) out += " @" + text_of(request.authority);
  if (request.body_bytes) out += " body " + std::to_string(request.body_bytes);
  if (request.chunked) out += " chunked";
  if (request.expects_continue) out += " continue";
  out += request.keep ? " keep" : " close";
  for (const HttpField& field : request.fields)
    out += " [" + text_of(field.name) + "=" + text_of(field.value) + "]";
  return out;
}

static std::string parsed(const std::string& bytes, i64* size, const HttpLimits& limits = LIMITS) {
  static check::Guarded memory(1 << 16);
  const Span<char> input = memory.at_end(bytes);
  HttpField fields[FIELDS];
  HttpRequest request;
  const HttpOutcome outcome = parse_request({input.data, input.count}, limits, {fields, FIELDS}, &request);
  *size = outcome.bytes;
  return summary(outcome, request);
}

// What becomes of it alone, of each beginning of it, and with more behind it.
static std::string outcome_of(const std::string& bytes, const HttpLimits& limits = LIMITS) {
  i64 size, part_size;
  const std::string whole = parsed(bytes, &size, limits);
  bool refused = false;
  for (size_t length = 0; length < bytes.size(); length++) {
    const std::string part = parsed(bytes.substr(0, length), &part_size, limits);
    const bool complete = size > 0 && length >= static_cast<size_t>(size);
    refused |= part != "partial" && !complete;
    const std::string expected = complete || refused ? whole : "partial";
    if (part != expected || (size > 0 && refused)) CHECK_EQ("at " + std::to_string(length) + ": " + part, expected);
  }
  for (const char* more : {"G", "\r\n", "GET / HTTP/1.1\r\n\r\n", "\x00 \xff"}) {
    const std::string longer = parsed(bytes + more, &part_size, limits);
    if (whole != "partial") CHECK_EQ(longer, whole);
  }
  return whole;
}

struct Row {
  const char* bytes;
  const char* outcome;
};

static void check_rows(const std::vector<Row>& rows) {
  for (const Row& row : rows)
    CHECK_EQ(std::string(row.bytes) + " -> " + outcome_of(row.bytes), std::string(row.bytes) + " -> " + row.outcome);
}

TEST(requests) {
  check_rows({
      {"", "partial"},
      {"GET / HTTP/1.1\r\nHost: a\r\n", "partial"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / 1.1 @a keep [Host=a]"},
      {"GET / HTTP/1.1\r\nHost: a\r\nContent-Encoding: Identity\r\n\r\n",
       "GET / 1.1 @a keep [Host=a] [Content-Encoding=Identity]"},
      {"\r\nGET / HTTP/1.1\r\nhOsT:a\r\n\r\n", "GET / 1.1 @a keep [hOsT=a]"},
      {"GET / HTTP/1.0\r\n\r\n", "GET / 1.0 close"},
      {"GET / HTTP/1.9\r\nHost:\r\n\r\n", "GET / 1.1 keep [Host=]"},
      {"GET /v1/models?a=b?c&%20 HTTP/1.1\r\nHost: h:8081\r\n\r\n",
       "GET /v1/models ?a=b?c&%20 1.1 @h:8081 keep [Host=h:8081]"},
      {"GET /? HTTP/1.0\r\n\r\n", "GET / 1.0 close"},
      {"GET http://A.b:1/x?y HTTP/1.1\r\nHost: other\r\n\r\n", "GET /x ?y 1.1 @A.b:1 keep [Host=other]"},
      {"GET HTTPS://[::1] HTTP/1.0\r\n\r\n", "GET / 1.0 @[::1] close"},
      {"GET http://a?b HTTP/1.0\r\n\r\n", "GET / ?b 1.0 @a close"},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * 1.1 @a keep [Host=a]"},
      {"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n",
       "POST /x 1.1 @a body 1000 keep [Host=a] [Content-Length=1000]"},
      {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "POST / 1.1 @a keep [Host=a] [Content-Length=0]"},
      {"POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t007 \t\r\n\r\n",
       "POST / 1.1 @a body 7 keep [Host=a] [content-length=007]"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
       "POST / 1.1 @a chunked keep [Host=a] [Transfer-Encoding=chunked]"},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\nExpect: 100-Continue\r\n\r\n",
       "POST / 1.1 @a chunked continue keep [Host=a] [Transfer-Encoding=CHUNKED] [Expect=100-Continue]"},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
       "POST / 1.1 @a body 5 continue keep [Host=a] [Expect=100-continue] [Content-Length=5]"},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "POST / 1.1 @a keep [Host=a] [Expect=100-continue]"},
      {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
       "POST / 1.0 body 5 close [Expect=100-continue] [Content-Length=5]"},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "GET / 1.1 @a close [Host=a] [Connection=close]"},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: x , CLOSE\r\n\r\n", "GET / 1.1 @a close [Host=a] [Connection=x , CLOSE]"},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: ,closed,\r\n\r\n", "GET / 1.1 @a keep [Host=a] [Connection=,closed,]"},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / 1.0 keep [Connection=Keep-Alive]"},
      {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
       "GET / 1.0 close [Connection=keep-alive] [Connection=close]"},
      {"GET / HTTP/1.0\r\nx:\r\n!#$%&'*+-.^_`|~: \ta \t b\xff\t \r\n\r\n",
       "GET / 1.0 close [x=] [!#$%&'*+-.^_`|~=a \t b\xff]"},
      {"UPDATEREDIRECTREF / HTTP/1.0\r\n\r\n", "UPDATEREDIRECTREF / 1.0 close"},
      {"g /%00\\\"<> HTTP/1.0\r\n\r\n", "g /%00\\\"<> 1.0 close"},
      {"GET / HTTP/1.0\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\n\r\n",
       "GET / 1.0 close [a=1] [b=2] [c=3] [d=4] [e=5] [f=6]"},
      {"GET / HTTP/1.1\r\nHost: user.example_2~a%41!$&'()*+,;=:\r\n\r\n",
       "GET / 1.1 @user.example_2~a%41!$&'()*+,;=: keep [Host=user.example_2~a%41!$&'()*+,;=:]"},
  });
}

#define METHOD "400 a request begins with a method and one space"
#define TARGET "400 behind the method a target of visible ASCII characters and one space are expected"
#define VERSION "400 the version of HTTP is expected as HTTP/1.1, and CR LF behind it"
#define DIGIT "400 the version of HTTP is expected as HTTP/1.1"
#define FORM "400 the target is neither a path nor an address with http://"
#define TARGET_HOST "400 the target's host is malformed"
#define LINE "400 a line of the head does not end with CR LF or has a control character in it"
#define COLON "400 a colon is expected directly behind the name of a field"
#define NAME "400 a line of the head does not begin with the name of a field"
#define FOLDED "400 a line of the head begins with white space: folded lines are not taken"
#define HOST "400 Host is not a name or an address with a port"
#define LENGTH "400 Content-Length is not one number of digits alone"
#define BOTH "400 Content-Length and Transfer-Encoding exclude each other"
#define CODING "501 of transfer codings only chunked, alone, is known"
#define BODY "413 the body is longer than this server takes"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

TEST(request_lines_that_are_refused) {
  check_rows({
      {"\n", METHOD},
      {"\r\r\n", LINE},
      {"\r\n\r\nGET / HTTP/1.0\r\n\r\n", METHOD},
      {" GET / HTTP/1.1\r\n\r\n", METHOD},
      {"\x16\x03\x01", METHOD},
      {"GET\t/ HTTP/1.1\r\n\r\n", METHOD},
      {"GET:/ HTTP/1.1\r\n\r\n", METHOD},
      {"G\xc3\xa4T / HTTP/1.1\r\n", METHOD},
      {"GET\r\n\r\n", METHOD},
      {"UPDATEREDIRECTREFS / HTTP/1.0\r\n\r\n", "501 the method is longer than any that is known"},
      {"GET  / HTTP/1.1\r\n\r\n", TARGET},
      {"GET /\r\n\r\n", TARGET},
      {"GET /\tHTTP/1.1\r\n\r\n", TARGET},
      {"GET /a\x7f HTTP/1.1\r\n\r\n", TARGET},
      {"GET /\xc3\xa4 HTTP/1.1\r\n\r\n", TARGET},
      {"GET /a#b HTTP/1.1\r\n\r\n", TARGET},
      {"GET /\x01 HTTP/1.1\r\n\r\n", TARGET},
      {"GET /23456789012345678901234567890123456789 HTTP/1.0\r\n\r\n",
       "GET /23456789012345678901234567890123456789 1.0 close"},
      {"GET /234567890123456789012345678901234567890 HTTP/1.0\r\n\r\n",
       "GET /234567890123456789012345678901234567890 1.0 close"},
      {"GET /2345678901234567890123456789012345678901 HTTP/1.0\r\n\r\n",
       "414 the target of the request is longer than this server takes"},
      {"GET /  HTTP/1.1\r\n\r\n", VERSION},
      {"GET / b HTTP/1.1\r\n\r\n", VERSION},
      {"GET / http/1.1\r\n\r\n", VERSION},
      {"GET / HTTP/1.1 \r\n\r\n", VERSION},
      {"GET / HTTP/1.10\r\n\r\n", VERSION},
      {"GET / HTTP/11\r\n\r\n", VERSION},
      {"GET / HTTP/1.1\n\n", VERSION},
      {"GET / HTTP/1.1\r\r\n", LINE},
      {"GET / HTTP/x.1\r\n\r\n", DIGIT},
      {"GET / HTTP/1.-1\r\n\r\n", DIGIT},
      {"GET / HTTP/0.9\r\n\r\n", "505 HTTP/1.0 and HTTP/1.1 are served, and no other version"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP/1.0 and HTTP/1.1 are served, and no other version"},
      {"GET * HTTP/1.1\r\n\r\n", "400 the target * is for OPTIONS alone"},
      {"CONNECT a:1 HTTP/1.1\r\n\r\n", "501 this server is no proxy"},
      {"GET a:1 HTTP/1.1\r\n\r\n", FORM},
      {"GET x HTTP/1.1\r\n\r\n", FORM},
      {"GET ftp://a/ HTTP/1.1\r\n\r\n", FORM},
      {"GET http:/a HTTP/1.1\r\n\r\n", FORM},
      {"GET http: HTTP/1.1\r\n\r\n", FORM},
      {"GET http:///a HTTP/1.1\r\n\r\n", TARGET_HOST},
      {"GET http:// HTTP/1.1\r\n\r\n", TARGET_HOST},
      {"GET http://a@b/ HTTP/1.1\r\n\r\n", TARGET_HOST},
      {"GET http://a:b/ HTTP/1.1\r\n\r\n", TARGET_HOST},
  });
}

// RFC 9112, sections 5, 6 and 11: where two readers could see two requests in what is one.
TEST(fields_that_are_refused) {
  check_rows({
      {"GET / HTTP/1.1\r\n\r\n", "400 HTTP/1.1 needs Host"},
      {GET "Host: a\r\n\r\n", "400 Host is there twice"},
      {"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "400 Host is there twice"},
      {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: a,b@c\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: []\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: [::g/]:1\r\n\r\n", HOST},
      {"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", HOST},
      {GET "x : 1\r\n\r\n", COLON},
      {GET "Content-Length : 5\r\n\r\n", COLON},
      {GET "Transfer-Encoding\t: chunked\r\n\r\n", COLON},
      {GET "x\r\n\r\n", COLON},
      {GET "x y: 1\r\n\r\n", COLON},
      {GET "x\xe4: 1\r\n\r\n", COLON},
      {GET ": 1\r\n\r\n", NAME},
      {GET "\n", NAME},
      {GET "(x): 1\r\n\r\n", NAME},
      {GET " x: 1\r\n\r\n", FOLDED},
      {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", FOLDED},
      {GET "x: 1\r\n\t2\r\n\r\n", FOLDED},
      {GET " \r\n\r\n", FOLDED},
      {GET "x: 1\n\r\n", LINE},
      {GET "x: 1\nContent-Length: 5\r\n\r\n", LINE},
      {GET "x: 1\rContent-Length: 5\r\n\r\n", LINE},
      {GET "x: 1\r\r\n\r\n", LINE},
      {GET "x: \x01\r\n\r\n", LINE},
      {GET "x: \x7f\r\n\r\n", LINE},
      {GET "x: \x0b"
           "chunked\r\n\r\n",
       LINE},
      {GET "\r\r\n", LINE},
      {GET "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "400 Content-Length is there twice"},
      {GET "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", "400 Content-Length is there twice"},
      {GET "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", "400 Content-Length is there twice"},
      {GET "Content-Length: 5, 5\r\n\r\n", LENGTH},
      {GET "Content-Length: 5,5\r\n\r\n", LENGTH},
      {GET "Content-Length:\r\n\r\n", LENGTH},
      {GET "Content-Length: +5\r\n\r\n", LENGTH},
      {GET "Content-Length: -5\r\n\r\n", LENGTH},
      {GET "Content-Length: 5 5\r\n\r\n", LENGTH},
      {GET "Content-Length: 0x5\r\n\r\n", LENGTH},
      {GET "Content-Length: 5.0\r\n\r\n", LENGTH},
      {GET "Content-Length: \"5\"\r\n\r\n", LENGTH},
      {GET "Content-Length: 1001\r\n\r\n", BODY},
      {GET "Content-Length: 9223372036854775808\r\n\r\n", BODY},
      {GET "Content-Length: 18446744073709551621\r\n\r\n", BODY},
      {GET "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", BOTH},
      {GET "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", BOTH},
      {GET "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", BOTH},
      {GET "Transfer-Encoding: gzip, chunked\r\n\r\n", CODING},
      {GET "Transfer-Encoding: chunked, gzip\r\n\r\n", CODING},
      {GET "Transfer-Encoding: chunked, chunked\r\n\r\n", CODING},
      {GET "Transfer-Encoding: chunked,\r\n\r\n", CODING},
      {GET "Transfer-Encoding: identity\r\n\r\n", CODING},
      {GET "Transfer-Encoding: xchunked\r\n\r\n", CODING},
      {GET "Transfer-Encoding: chunked;q=1\r\n\r\n", CODING},
      {GET "Transfer-Encoding: \"chunked\"\r\n\r\n", CODING},
      {GET "Transfer-Encoding:\r\n\r\n", CODING},
      {GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n", "400 Transfer-Encoding is there twice"},
      {GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", "400 Transfer-Encoding is there twice"},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "400 HTTP/1.0 has no Transfer-Encoding"},
      {GET "Content-Encoding: gzip\r\n\r\n", "415 a body is taken as it is, without Content-Encoding"},
      {GET "Content-Encoding:\r\n\r\n", "415 a body is taken as it is, without Content-Encoding"},
      {GET "Expect: 200-ok\r\n\r\n", "417 of expectations only 100-continue can be met"},
      {GET "Expect:\r\n\r\n", "417 of expectations only 100-continue can be met"},
      {"GET / HTTP/1.0\r\na:1\r\nb:2\r\nc:3\r\nd:4\r\ne:5\r\nf:6\r\ng:7\r\n\r\n",
       "431 the request has more header fields than this server takes"},
  });
}

// A zero byte ends no line and no text.
TEST(zero_bytes) {
  using namespace std::string_literals;
  CHECK_EQ(outcome_of("\0"s), METHOD);
  CHECK_EQ(outcome_of("GET /\0 HTTP/1.1\r\n\r\n"s), TARGET);
  CHECK_EQ(outcome_of("GET / HTTP/1.1\0\r\n\r\n"s), VERSION);
  CHECK_EQ(outcome_of("GET / HTTP/1.1\r\nHost\0: a\r\n\r\n"s), COLON);
  CHECK_EQ(outcome_of("GET / HTTP/1.1\r\nHost: a\0\r\n\r\n"s), LINE);
}

// A head that fits exactly is taken; one byte more is not, whether or not it is there.
TEST(limits) {
  const std::string begin = "GET / HTTP/1.0\r\nx: ", end = "\r\n\r\n";
  for (size_t size = 195; size < 206; size++) {
    const std::string value(size - begin.size() - end.size(), 'v');
    const std::string expected =
        size <= 200 ? "GET / 1.0 close [x=" + value + "]" : "431 the head of the request is longer than this server takes";
    CHECK_EQ(outcome_of(begin + value + end), expected);
  }
  CHECK_EQ(outcome_of("GET / HTTP/1.0\r\n" + std::string(300, 'n')),
           "431 the head of the request is longer than this server takes");
  CHECK_EQ(outcome_of("POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", {200, 40, 0, 0}),
           "POST / 1.0 close [Content-Length=0]");
  CHECK_EQ(outcome_of("POST / HTTP/1.0\r\nContent-Length: 1\r\n\r\n", {200, 40, 0, 0}), BODY);
  CHECK_EQ(outcome_of("POST / HTTP/1.0\r\nContent-Length: 9223372036854775807\r\n\r\n", {200, 40, INT64_MAX, 0}),
           "POST / 1.0 body 9223372036854775807 close [Content-Length=9223372036854775807]");
  CHECK_EQ(outcome_of("POST / HTTP/1.0\r\nContent-Length: 9223372036854775808\r\n\r\n", {200, 40, INT64_MAX, 0}), BODY);
}

// Each byte in each place of a request: taken where the grammar has it, refused elsewhere.
TEST(every_byte) {
  const std::string token = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  for (int c = 0; c < 256; c++) {
    const std::string byte(1, static_cast<char>(c));
    const bool in_token = c != 0 && token.find(static_cast<char>(c)) != std::string::npos;
    CHECK_EQ(outcome_of("M" + byte + "M / HTTP/1.0\r\n\r\n")[0] == 'M', in_token);
    CHECK_EQ(outcome_of("GET /" + byte + " HTTP/1.0\r\n\r\n")[0] == 'G', c > 0x20 && c < 0x7f && c != '#');
    CHECK_EQ(outcome_of("GET / HTTP/1.0\r\nn" + byte + "n:\r\n\r\n")[0] == 'G', in_token || c == ':');
    CHECK_EQ(outcome_of("GET / HTTP/1.0\r\nn: v" + byte + "v\r\n\r\n")[0] == 'G', (c >= 0x20 && c != 0x7f) || c == '\t');
    CHECK_EQ(is_token_byte(static_cast<u8>(c)), in_token);
  }
}

TEST(fields_by_name) {
  const std::string bytes = "GET / HTTP/1.0\r\nX-Api-Key: k\r\naccept:\r\nx-api-key: second\r\n\r\n";
  HttpField fields[FIELDS];
  HttpRequest request;
  CHECK(parse_request({bytes.data(), static_cast<i64>(bytes.size())}, LIMITS, {fields, FIELDS}, &request).bytes > 0);
  CHECK_EQ(text_of(http_field(request, "x-api-key")->value), "k");
  CHECK_EQ(text_of(http_field(request, "accept")->value), "");
  CHECK(!http_field(request, "x-api"));
  CHECK(!http_field(request, "x-api-key2"));
  CHECK(equal_ignoring_case("[A@Z`", "[a@z`") && !equal_ignoring_case("@", "`") && !equal_ignoring_case("[", "{"));
}
