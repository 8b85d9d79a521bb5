// The transfer coding `chunked`: a table of bodies, each cut into two pieces everywhere, byte by byte, and whole.
#include "server/chunked.h"

#include <string>
#include <vector>

#include "check.h"
#include "guarded.h"

using namespace edgellm;

static constexpr HttpLimits LIMITS{200, 40, 20, 16};

struct Result {
  std::string body;
  std::string end;  // "more", "whole", or a refusal
  size_t taken = 0;
};

// One piece after the other, each at the edge of readable memory.
static Result decoded(const std::vector<std::string>& pieces, const HttpLimits& limits = LIMITS) {
  static check::Guarded memory(4096);
  ChunkedDecoder decoder;
  Result result;
  result.end = "more";
  for (const std::string& piece : pieces) {
    const Span<char> input = memory.at_end(piece);
    const ChunkedOutcome outcome = decoder.decode(input, limits);
    result.body.append(input.data, static_cast<size_t>(outcome.decoded));
    result.taken += static_cast<size_t>(outcome.taken);
    if (outcome.status) {
      result.end = std::to_string(outcome.status) + " " + outcome.why;
    } else if (outcome.whole) {
      result.end = "whole";
    } else {
      CHECK_EQ(outcome.taken, input.count);
    }
    if (result.end != "more") break;
  }
  return result;
}

static std::string summary(const Result& result) {
  return result.end.substr(0, 3) == "who" || result.end == "more"
             ? result.end + " " + std::to_string(result.taken) + " [" + result.body + "]"
             : result.end;
}

static std::string outcome_of(const std::string& bytes, const HttpLimits& limits = LIMITS) {
  const std::string whole = summary(decoded({bytes}, limits));
  for (size_t cut = 0; cut <= bytes.size(); cut++) {
    const std::string split = summary(decoded({bytes.substr(0, cut), bytes.substr(cut)}, limits));
    if (split != whole) CHECK_EQ("cut at " + std::to_string(cut) + ": " + split, whole);
  }
  std::vector<std::string> one_by_one;
  for (char c : bytes)
    one_by_one.push_back(std::string(1, c));
  CHECK_EQ(summary(decoded(one_by_one, limits)), whole);
  return whole;
}

#define SIZE "400 a chunk begins with its size in hexadecimal digits, and CR LF or ; behind it"
#define LINE "400 a line between chunks does not end with CR LF or has a control character in it"
#define BEHIND "400 CR LF is expected behind a chunk of the size that was said"
#define TRAILER "400 a trailer field is a name, a colon directly behind it, and a value"
#define BODY "413 the body is longer than this server takes"
#define EXTRA "431 chunk extensions and trailers are longer than this server takes"

TEST(bodies) {
  struct Row {
    const char *bytes, *outcome;
  };
  const Row rows[] = {
      {"", "more 0 []"},
      {"0\r\n\r\n", "whole 5 []"},
      {"0\r\n\r\nGET", "whole 5 []"},
      {"5\r\nhello\r\n0\r\n\r\n", "whole 15 [hello]"},
      {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nrest", "whole 26 [hello world]"},
      {"A\r\n0123456789\r\na\r\n9876543210\r\n0\r\n\r\n", "whole 35 [01234567899876543210]"},
      {"5\r\n\r\n0\r\n\r\n0\r\n\r\n", "whole 15 [\r\n0\r\n]"},
      {"0000000000000001\r\nx\r\n0000000000000000\r\n\r\n", "whole 41 [x]"},
      {"1;a=b;c=\"d\"\r\nx\r\n0\r\n\r\n", "whole 21 [x]"},
      {"1;\r\nx\r\n0;\t\xff\r\n\r\n", "whole 15 [x]"},
      {"1\r\nx\r\n0\r\na: b\r\nc:\r\n\r\n", "whole 21 [x]"},
      {"5\r\nhel", "more 6 [hel]"},
      {"5\r\nhello\r\n0\r\n", "more 13 [hello]"},
      {"\r\n", SIZE},
      {";a\r\n", SIZE},
      {"g\r\n", SIZE},
      {"-1\r\n", SIZE},
      {"+1\r\n", SIZE},
      {" 1\r\n", SIZE},
      {"1 \r\n", SIZE},
      {"1 ;a\r\n", SIZE},
      {"1\t\r\n", SIZE},
      {"0x1\r\n", SIZE},
      {"1\nx\n0\n\n", SIZE},
      {"1,1\r\n", SIZE},
      {"1\rx", LINE},
      {"1;a\nx\r\n0\r\n\r\n", LINE},
      {"1;a\rx\r\n0\r\n\r\n", LINE},
      {"1;\x01\r\n", LINE},
      {"1;\x7f\r\n", LINE},
      {"1\r\nxy\r\n", BEHIND},
      {"1\r\nx\n0\r\n\r\n", BEHIND},
      {"1\r\nx\r0\r\n\r\n", BEHIND},
      {"1\r\nx0\r\n\r\n", BEHIND},
      {"1\r\nx\r\n\r\n0\r\n\r\n", SIZE},
      {"0\r\n\n", TRAILER},
      {"0\r\n: b\r\n\r\n", TRAILER},
      {"0\r\n b: c\r\n\r\n", TRAILER},
      {"0\r\na : b\r\n\r\n", TRAILER},
      {"0\r\na\r\n\r\n", TRAILER},
      {"0\r\na: b\r\n c\r\n\r\n", TRAILER},
      {"0\r\na: b\n\r\n", LINE},
      {"0\r\na: \x01\r\n\r\n", LINE},
      {"0\r\n\r0", LINE},
      {"15\r\n", BODY},
      {"14\r\n01234567890123456789\r\n1\r\n", BODY},
      {"ffffffffffffffff\r\n", BODY},
      {"10000000000000001\r\n", BODY},
      {"00000000000000000\r\n\r\n", "400 the size of a chunk has more than 16 digits"},
      {"1;2345678901234\r\nx\r\n0\r\n\r\n", "whole 25 [x]"},
      {"1;2345678901234567\r\nx\r\n0\r\n\r\n", EXTRA},
      {"1;1234567\r\nx\r\n1;12345678\r\ny\r\n0\r\n\r\n", EXTRA},
      {"0\r\na: 2345678901\r\n\r\n", "whole 20 []"},
      {"0\r\na: 234567890123\r\n\r\n", EXTRA},
      {"0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", "whole 21 []"},
      {"0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\n\r\n", EXTRA},
  };
  for (const Row& row : rows)
    CHECK_EQ(std::string(row.bytes) + " -> " + outcome_of(row.bytes), std::string(row.bytes) + " -> " + row.outcome);
}

TEST(zero_bytes) {
  using namespace std::string_literals;
  CHECK_EQ(outcome_of("3\r\na\0b\r\n0\r\n\r\n"s), "whole 13 [a\0b]"s);
  CHECK_EQ(outcome_of("\0"s), SIZE);
  CHECK_EQ(outcome_of("1\0\r\n"s), SIZE);
  CHECK_EQ(outcome_of("0\r\n\0"s), TRAILER);
}

// Every digit and every size, against the number that was written.
TEST(sizes) {
  for (int size = 1; size <= 300; size++) {
    char digits[8];
    std::snprintf(digits, sizeof digits, size % 2 ? "%x" : "%03X", static_cast<unsigned>(size));
    const std::string body(static_cast<size_t>(size), 'b');
    const std::string bytes = digits + std::string("\r\n") + body + "\r\n0\r\n\r\n";
    const Result result = decoded({bytes}, {200, 40, 300, 16});
    CHECK_EQ(result.end, "whole");
    CHECK_EQ(result.body, body);
    CHECK_EQ(result.taken, bytes.size());
  }
}
