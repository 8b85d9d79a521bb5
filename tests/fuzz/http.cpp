// The head of a request and its body, as a connection reads them: what comes of them does not depend on the pieces in which they
// come, every slice lies in the input, and what is accepted keeps to the grammar.
#include "server/http.h"

#include <stdlib.h>

#include <vector>

#include "input.h"

using namespace edgellm;

static constexpr HttpLimits LIMITS{300, 60, 5000, 64};
static constexpr i64 FIELDS = 8;

static bool inside(Text text, Text bytes) {
  const Text constants[] = {"/"};
  return text.size == 0 || (text.data >= bytes.data && text.data + text.size <= bytes.data + bytes.size) ||
         text == constants[0];
}

static void require(bool holds) {
  if (!holds) abort();
}

// What two readers could understand differently is not in it.
static void check_accepted(Text head, const HttpRequest& request) {
  require(head.size <= LIMITS.head && head.size >= 4 && head.from(head.size - 4) == "\r\n\r\n");
  for (i64 i = 0; i < head.size; i++) {
    const u8 c = static_cast<u8>(head[i]);
    if (c == '\r') require(i + 1 < head.size && head[i + 1] == '\n');
    if (c == '\n')
      require(i > 0 && head[i - 1] == '\r' && (i + 1 == head.size || (head[i + 1] != ' ' && head[i + 1] != '\t')));
    require(c >= 0x20 || c == '\r' || c == '\n' || c == '\t');
  }
  i32 hosts = 0, lengths = 0, codings = 0;
  for (const HttpField& field : request.fields) {
    require(inside(field.name, head) && inside(field.value, head) && field.name.size > 0);
    hosts += equal_ignoring_case(field.name, "host");
    lengths += equal_ignoring_case(field.name, "content-length");
    codings += equal_ignoring_case(field.name, "transfer-encoding");
  }
  require(hosts <= 1 && (hosts == 1 || request.minor == 0) && lengths + codings <= 1);
  require(request.chunked == (codings == 1) && request.body_bytes >= 0 && request.body_bytes <= LIMITS.body);
  require(lengths == 1 || request.body_bytes == 0);
  require(request.method.size > 0 && request.path.size > 0 && (request.path[0] == '/' || request.path == "*"));
  require(inside(request.method, head) && inside(request.path, head) && inside(request.query, head));
  require(inside(request.authority, head));
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<char> copy(data, data + size);  // whose end AddressSanitizer watches
  HttpField fields[FIELDS];
  HttpRequest request;
  const HttpOutcome whole = parse_request({copy.data(), static_cast<i64>(size)}, LIMITS, {fields, FIELDS}, &request);
  require(whole.bytes >= 0 && whole.bytes <= static_cast<i64>(size) && (whole.bytes == 0 || whole.status == 0));
  if (whole.bytes > 0) check_accepted({copy.data(), whole.bytes}, request);
  for (size_t length = 0; length < size; length += 1 + size / 40) {
    const std::vector<char> part(data, data + length);
    const HttpOutcome outcome = parse_request({part.data(), static_cast<i64>(length)}, LIMITS, {fields, FIELDS}, &request);
    if (outcome.status) require(outcome.status == whole.status && outcome.why == whole.why);
    if (outcome.bytes) require(outcome.bytes == whole.bytes);
    if (whole.bytes > 0 && static_cast<i64>(length) < whole.bytes) require(outcome.bytes == 0 && outcome.status == 0);
  }
  return 0;
}
